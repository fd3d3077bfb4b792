import type { Socket } from 'node:net';
import type { Frame } from '../../../protocol/src/frame.ts';
import { FrameDecoder } from '../../../protocol/src/frame-decoder.ts';
import { PROTOCOL_LIMIT } from '../../../protocol/src/generated.ts';
import { connectionError, MqpError } from './errors.ts';

/** Who hears what happens on a connection. */
export interface ConnectionListener {
  /** A whole frame; borrowed during the call. What it throws ends the connection. */
  frame(frame: Frame): void;
  /** The bytes of the last write have left; the buffer may be used again. */
  written(): void;
  /** Once, at the end. */
  closed(error: MqpError): void;
}

/** One socket, read as frames, with one write under way at a time. */
export class Connection {
  listener: ConnectionListener;
  isWriting = false;
  isClosed = false;
  /** Something came since this was last set to false. */
  hasHeard = false;
  private readonly socket: Socket;
  private readonly decoder = new FrameDecoder({
    frameBytesMax: PROTOCOL_LIMIT.frameBytesBeforeHelloMax,
  });
  private reason: MqpError | undefined;
  private readonly onWritten: () => void;

  constructor(socket: Socket, listener: ConnectionListener) {
    this.socket = socket;
    this.listener = listener;
    this.onWritten = () => {
      this.isWriting = false;
      this.listener.written();
    };
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => this.read(chunk));
    socket.on('error', (error) => {
      this.reason ??= connectionError('DISCONNECTED', error);
    });
    socket.on('close', () => {
      this.isClosed = true;
      const why = new MqpError('DISCONNECTED', 'the connection was closed', { isRetriable: true });
      this.listener.closed(this.reason ?? why);
    });
  }

  set frameBytesMax(bytes: number) {
    this.decoder.frameBytesMax = bytes;
  }

  /** `bytes` are borrowed until `written()`; there must be no other write under way. */
  write(bytes: Buffer): void {
    this.isWriting = true;
    this.socket.write(bytes, this.onWritten);
  }

  /** Ends the connection at once; the first reason given is the one that is told. */
  destroy(reason: MqpError): void {
    this.reason ??= reason;
    this.socket.destroy();
  }

  private read(chunk: Buffer): void {
    this.hasHeard = true;
    try {
      this.decoder.push(chunk);
      for (let frame = this.decoder.next(); frame !== undefined; frame = this.decoder.next()) {
        this.listener.frame(frame);
      }
    } catch (error) {
      this.destroy(connectionError('DISCONNECTED', error));
    }
  }
}
