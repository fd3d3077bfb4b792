// Ends what a script started, when a signal ends the script itself.

import { readdirSync, readFileSync } from 'node:fs';
import { constants } from 'node:os';

/**
 * SIGINT, SIGTERM and SIGHUP end this process with 128 and their number, and before it every process
 * below it, at once. `killKnown` ends those of them that the caller knows of, where there is no
 * /proc to find all.
 */
export function endChildrenOnSignals(killKnown) {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.on(signal, () => {
      killDescendants();
      killKnown();
      process.exit(128 + constants.signals[signal]);
    });
  }
}

/**
 * A child with a group of its own is killed with its group, so that what it is just starting goes
 * too.
 */
function killDescendants() {
  const all = processes();
  const own = all.get(process.pid)?.group;
  for (const { pid, group } of below(process.pid, [...all.values()])) {
    try {
      process.kill(group === own ? pid : -group, 'SIGKILL');
    } catch (error) {
      if (error.code !== 'ESRCH') throw error;
    }
  }
}

/** Parents first: one that is killed starts nobody else. */
function below(parent, all) {
  const children = all.filter((one) => one.parent === parent);
  return [...children, ...children.flatMap(({ pid }) => below(pid, all))];
}

/** Every process of this machine, by its id. */
function processes() {
  const found = new Map();
  let names = [];
  try {
    names = readdirSync('/proc');
  } catch {
    return found;
  }
  for (const pid of names.filter((name) => /^\d+$/.test(name)).map(Number)) {
    try {
      // `pid (name) state parent group …`, and the name may hold anything.
      const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
      const [, parent, group] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      found.set(pid, { pid, parent: Number(parent), group: Number(group) });
    } catch {
      // It has ended meanwhile.
    }
  }
  return found;
}
