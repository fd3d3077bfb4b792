// [P-14.1] owner := "node " id " has this partition of the delay log"
//          somewhere in the words of NOT_OWNER, where the owner was found out

const NAMED = /\bnode (\S+) has this partition/;

/** The words of NOT_OWNER; `nodeId` undefined: who the owner is was not found out. */
export function ownerWords(nodeId: string | undefined): string {
  const who = nodeId === undefined ? 'another node' : `node ${nodeId}`;
  return `${who} has this partition of the delay log`;
}

/** The id of the node that such words name, if they name one; of several the first. */
export function ownerIn(words: string): string | undefined {
  return NAMED.exec(words)?.[1];
}
