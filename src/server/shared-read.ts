import { Socket } from 'node:net';

/**
 * Bytes of the buffer that every plain connection is read into. What one read brings is taken or
 * copied before the next read, so one buffer serves them all; a buffer for each read would make
 * the collector run for nothing else.
 */
const READ_BYTES = 256 * 1024;

let shared: Buffer | undefined;

/** The handle is Node's own and has no public name; see `net.Socket`'s option `handle`. */
interface WithHandle {
  _handle: object | null;
}

/**
 * Takes a connection over from the socket that the server made (`pauseOnConnect`, so nothing was
 * read yet) and reads it into the shared buffer. `onBytes` gets bytes that are *borrowed* until it
 * returns. Where there is no handle to take, the socket is given back and read in the usual way.
 */
export function shareReads(accepted: Socket, onBytes: (bytes: Buffer) => void): Socket {
  const { _handle: handle } = accepted as unknown as WithHandle;
  if (handle === null || handle === undefined) {
    accepted.on('data', onBytes);
    accepted.resume();
    return accepted;
  }
  shared ??= Buffer.allocUnsafeSlow(READ_BYTES);
  const buffer = shared;
  const onread = {
    buffer,
    callback: (count: number) => {
      onBytes(buffer.subarray(0, count));
      return true;
    },
  };
  (accepted as unknown as WithHandle)._handle = null;
  // The typings of `net.Socket` know `onread` only for connecting sockets.
  const options = { handle, onread, allowHalfOpen: false } as object;
  const socket = new Socket(options);
  // Lets the end of the stream come through; there is no data on this side.
  socket.resume();
  return socket;
}
