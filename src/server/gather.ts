import type { Socket } from 'node:net';

/** What is written to the socket in this turn of the event loop leaves in one write. */
export function gather(socket: Socket): void {
  socket.cork();
  process.nextTick(() => socket.uncork());
}
