import { startNode } from '../../app.ts';
import { messageOf } from '../../base/errors.ts';
import { endProcess } from '../../native/addon.ts';
import type { Command } from '../command.ts';
import { configFileOption, configFlagHelp, splitConfigFlags } from '../config-flags.ts';
import { exitCodes } from '../exit-code.ts';
import { print } from '../output.ts';

/** `mqproxy serve`: runs a node until SIGTERM or SIGINT. */
export const serveCommand: Command = {
  usage: 'serve [--config FILE] [--listen HOST:PORT] [--data-dir DIR] [--backend embedded|kafka] …',
  summary: 'Runs a node: MQP on 127.0.0.1:7650, health and metrics on 127.0.0.1:7652.',
  get details() {
    return [
      'SIGTERM or SIGINT drains and ends with 0. A second one ends at once with 143 or 130, also',
      'where a disk hangs: what was answered stays, as after a kill. SIGHUP reloads the settings',
      'marked for it in docs/configuration.md.',
      '',
      configFlagHelp(),
    ].join('\n');
  },
  options: configFileOption,
  async run(argv) {
    const line = splitConfigFlags(argv, configFileOption);
    const { config } = line.load();
    exitAtOnce();
    // Before the start, which may take long: a signal in it must not end the node half way.
    const ended = untilSignal();
    const reload = onHangUp();
    const node = await startNode(config);
    reload.with(() => node.reload(line.load().config));
    if (!ended.hasCome) await print(`${node.readyLine}\n`);
    await ended.signal;
    await node.close();
    return exitCodes.ok;
  },
};

/**
 * Whatever ends a node that has not closed in order, a second signal or a fault of ours, waits for
 * none of its threads: a disk that hangs may be the reason.
 */
function exitAtOnce(): void {
  process.on('exit', (code) => {
    if (code !== exitCodes.ok) endProcess(code);
  });
  // Node itself tells what was thrown after the event `exit` alone.
  process.on('uncaughtException', (error) => {
    process.stderr.write(`mqproxy: internal fault: ${error.stack ?? messageOf(error)}\n`);
    process.exit(exitCodes.refused);
  });
}

/** Resolves at the first SIGTERM or SIGINT; the second ends the process with its usual code. */
function untilSignal(): { readonly hasCome: boolean; readonly signal: Promise<void> } {
  let hasCome = false;
  const signal = new Promise<void>((resolve) => {
    const onSignal = (name: NodeJS.Signals) => {
      if (hasCome) process.exit(name === 'SIGINT' ? 130 : 143);
      hasCome = true;
      resolve();
    };
    process.on('SIGTERM', onSignal);
    process.on('SIGINT', onSignal);
  });
  return {
    get hasCome() {
      return hasCome;
    },
    signal,
  };
}

/** Hears SIGHUP from now on; one that came before it is said what to do waits for that. */
function onHangUp(): { with(reload: () => Promise<void>): void } {
  let hasCome = false;
  let reload: (() => Promise<void>) | undefined;
  const run = (): void => {
    Promise.resolve()
      .then(reload)
      .catch((error: unknown) => {
        process.stderr.write(`mqproxy: not reloaded: ${messageOf(error)}\n`);
      });
  };
  process.on('SIGHUP', () => {
    hasCome = true;
    if (reload !== undefined) run();
  });
  return {
    with: (how) => {
      reload = how;
      if (hasCome) run();
    },
  };
}
