import { startNode } from '../../app.ts';
import { messageOf } from '../../base/errors.ts';
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
      'SIGTERM or SIGINT drains and ends with 0, a second one ends at once. SIGHUP reloads the',
      'settings marked for it in docs/configuration.md.',
      '',
      configFlagHelp(),
    ].join('\n');
  },
  options: configFileOption,
  async run(argv) {
    const line = splitConfigFlags(argv, configFileOption);
    const node = await startNode(line.load().config);
    const ended = untilSignal();
    process.on('SIGHUP', () => {
      Promise.resolve()
        .then(() => node.reload(line.load().config))
        .catch((error: unknown) => {
          process.stderr.write(`mqproxy: not reloaded: ${messageOf(error)}\n`);
        });
    });
    await print(`${node.readyLine}\n`);
    await ended;
    await node.close();
    return exitCodes.ok;
  },
};

/** Resolves at the first SIGTERM or SIGINT; the second ends the process with its usual code. */
function untilSignal(): Promise<void> {
  return new Promise((resolve) => {
    let hasCome = false;
    const onSignal = (signal: NodeJS.Signals) => {
      if (hasCome) process.exit(signal === 'SIGINT' ? 130 : 143);
      hasCome = true;
      resolve();
    };
    process.on('SIGTERM', onSignal);
    process.on('SIGINT', onSignal);
  });
}
