/**
 * Every bound on what a peer can fill, with unit and default. Those with a key in the
 * configuration are defaults only; the others are fixed.
 */
export const limits = {
  /** Longest frame before HELLO was answered, in bytes after the length field. */
  handshakeFrameBytesMax: 8 * 1024,
  /** Longest frame of a ready connection, in bytes after the length field. */
  frameBytesMax: (1024 + 64) * 1024,
  /** The least that may be set for it: answers to produced messages keep to this, in bytes. */
  frameBytesMin: 16 * 1024,
  /** Largest message: key, headers and value together, in bytes. */
  messageBytesMax: 1024 * 1024,
  /** Longest key, in bytes. */
  keyBytesMax: 32 * 1024,
  /** All headers of a message together, in bytes. */
  headersBytesMax: 32 * 1024,
  /** Topics one connection may open. */
  topicsPerConnectionMax: 1024,
  /** Topics of a node (an id on the ring and in the outbox is a u16). */
  topicsMax: 60_000,
  /** Messages of a connection that wait for their answer. */
  inFlightMessagesMax: 65_536,
  /** Bytes of a connection's messages that wait for their answer. */
  inFlightBytesMax: 32 * 1024 * 1024,
  /** Unread bytes from which on a connection is delivered nothing. */
  cloggedBytes: 1024 * 1024,
  /** Bytes of answers a connection may leave unread before it is paused. */
  unreadAnswerBytesMax: 4 * 1024 * 1024,
  /** Bytes of answers a connection may leave unread before it is closed. */
  unreadAnswerBytesHardMax: 64 * 1024 * 1024,
  /** Largest answer to TAIL, in bytes of records. */
  tailBytesMax: 1024 * 1024,
  /** Longest wait of a TAIL, in ms. */
  tailWaitMsMax: 30_000,
  /** Partitions of which one question asks Kafka for start and end at a time. */
  offsetsAtOnce: 16,
  /** TAIL requests of a connection that wait at once. */
  tailsPerConnectionMax: 256,
  /** Control requests (topics, status) of a connection that wait at once. */
  controlsPerConnectionMax: 64,
  /** ACK, NACK, EXTEND and COMMIT of a connection that wait for their answer. */
  settlesPerConnectionMax: 16_384,
  /** Connections of a node. */
  connectionsMax: 10_000,
  /** From accept to HELLO, in ms. */
  handshakeTimeoutMs: 5_000,
  /** A connection without a byte for so long is closed, in ms. */
  idleTimeoutMs: 300_000,
  /** From SIGTERM to the end, in ms. */
  drainTimeoutMs: 20_000,
  /** Messages of one micro-batch. */
  batchMessagesMax: 65_536,
  /** Segments of one micro-batch. */
  batchSegmentsMax: 16_384,
  /** Producer windows a lane keeps. */
  windowsMax: 100_000,
  /** Memory of the bitmaps of a lane's windows, in bytes. */
  windowBytesMax: 64 * 1024 * 1024,
  /** Sequences behind the highest that a window remembers. */
  windowSequences: 65_536,
  /** A producer that was silent for so long leaves the windows, in ms. */
  windowIdleMs: 600_000,
  /** From the cluster's first word that there is no such topic until its messages are given up. */
  topicMissingMs: 60_000,
  /** A topic that takes no messages while others of its cluster do is parked after this, in ms. */
  topicStuckMs: 30_000,
  /** A second failure of a lane's store within so long takes the lane out of service, in ms. */
  laneOutWithinMs: 60_000,
  /** Notes of what a lane sends again that wait for the disk, in bytes; more are lost. */
  resendNotesBytesMax: 4 * 1024 * 1024,
  /** What a dead letter keeps of the reason a consumer gave, in bytes. */
  deadReasonBytesMax: 1024,
  /** Dead letters in one publish; more wait behind it. */
  deadMovesMax: 256,
  /** Ids that are read back of the end of a topic of dead letters: what a crash may write twice. */
  deadEndIdsMax: 4_096,
  /** Ends of topics of dead letters that a node remembers. */
  deadEndsMax: 64,
  /** Bytes of the messages in one publish of dead letters. */
  deadMoveBytesMax: 4 * 1024 * 1024,
  /** Pairs of group and topic whose budget of dead letters is kept. */
  deadPoliciesMax: 10_000,
  /** Groups that a node serves. */
  groupsPerNodeMax: 1_000,
  /** Answers to acks that wait for the name of a partition's owner. */
  ownerSearchesMax: 256,
  /** Owners of other nodes' tokens that are remembered. */
  ownersKnownMax: 4_096,
  /** Subscriptions of one connection. */
  subscriptionsPerConnectionMax: 256,
  /** Subscriptions of a node. */
  subscriptionsMax: 65_535,
  /** Unfinished messages of one partition of a group. */
  windowMessagesMax: 65_536,
  /** Messages of one key that wait for an earlier one, in key-ordered groups. */
  heldPerKeyMax: 1_024,
  /** Bytes of a partition that are fetched before somebody takes them. */
  fetchAheadBytes: 2 * 1024 * 1024,
  /** Bytes of payload of one partition of a group; what was given out is dropped first. */
  partitionPayloadBytesMax: 4 * 1024 * 1024,
  /** Bytes of payload of all partitions of a node, shared out among them. */
  payloadBytesMax: 256 * 1024 * 1024,
  /** Bytes that are read back of a partition to know again which ids were seen. */
  idsReadBackBytes: 8 * 1024 * 1024,
  /** From the loss of a connection until its leases end, in ms. */
  connectionLostMs: 5_000,
  /** From a group's last subscription until the node leaves it, in ms. */
  groupLingerMs: 5_000,
  /** Dead letters among which copies are told while they are read. */
  deadSeenMax: 65_536,
  /** Listings of dead letters that can be gone on with; the oldest begins again. */
  deadListsMax: 8,
  /** Bytes of one page of dead letters; a single larger one comes alone. */
  deadPageBytesMax: 512 * 1024,
  /** Reads of one page of dead letters, however few match. */
  deadPageReadsMax: 64,
  /** Redrives under way. */
  redrivesMax: 8,
  /** Redrives that can be asked for after their end. */
  redrivesKept: 64,
  /** Delayed messages held in memory, ahead of their due time. */
  delayNearMax: 200_000,
  /** Bytes of their records. */
  delayNearBytesMax: 64 * 1024 * 1024,
  /** Messages of one partition of the delay log that fired and are not ended in it. */
  delayEndsMax: 6_000,
  /** Cancelled and moved messages that a cluster's delays keep in memory, about 100 B each. */
  delayChangedMax: 200_000,
  /** Changes of delayed messages that wait to be written to one cluster. */
  delayWritesMax: 10_000,
  /** Bytes of the name of a series. */
  seriesNameBytesMax: 128,
  /** Firings to come of one series that can be cancelled one by one. */
  seriesCancelledMax: 100,
  /** Labels of `topic` in the metrics; the rest is `other`. */
  metricTopicsMax: 200,
} as const;
