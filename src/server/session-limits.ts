/** Bounds of one connection; see docs/configuration.md. */
export interface SessionLimits {
  readonly handshakeFrameBytesMax: number;
  readonly frameBytesMax: number;
  readonly inFlightMessagesMax: number;
  readonly inFlightBytesMax: number;
  readonly topicsPerConnectionMax: number;
  readonly cloggedBytes: number;
  readonly unreadAnswerBytesMax: number;
  readonly unreadAnswerBytesHardMax: number;
  readonly handshakeTimeoutMs: number;
  readonly idleTimeoutMs: number;
}
