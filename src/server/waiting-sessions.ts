/** Where there is no room: in the node as a whole, or in a session's lane. */
export type Room = 'node' | 'lane';

/** As much of a session as its waiting needs; `L` is what its lane is known by. */
export interface Waiter<L> {
  readonly lane: L | undefined;
  /** Tries again: what finds no room waits anew. */
  release(where: Room): void;
}

/**
 * The sessions that hold for lack of room, apart by what they wait for: room in the node as a
 * whole, or in their lane. Each kind is woken only when its own room may have come,
 * and only until the first finds none, since a try that fails looks over all that was read.
 */
export class WaitingSessions<L> {
  private readonly ofNode = new Set<Waiter<L>>();
  private readonly ofLane = new Map<L, Set<Waiter<L>>>();

  add(session: Waiter<L>, where: Room): void {
    const { lane } = session;
    if (where === 'node' || lane === undefined) {
      this.ofNode.add(session);
      return;
    }
    const others = this.ofLane.get(lane);
    if (others === undefined) this.ofLane.set(lane, new Set([session]));
    else others.add(session);
  }

  delete(session: Waiter<L>): void {
    this.ofNode.delete(session);
    if (session.lane !== undefined) this.ofLane.get(session.lane)?.delete(session);
  }

  /** The node may have room again. */
  wakeNode(isFull: () => boolean): void {
    for (const session of this.ofNode) {
      if (isFull()) return;
      this.ofNode.delete(session);
      session.release('node');
    }
  }

  /** The lane has room again. One who finds none is told again, behind the others. */
  wakeLane(lane: L): void {
    const sessions = this.ofLane.get(lane);
    if (sessions === undefined) return;
    for (const session of sessions) {
      sessions.delete(session);
      session.release('lane');
      if (sessions.has(session)) return;
    }
  }
}
