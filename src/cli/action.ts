import { coded } from '../base/errors.ts';
import { didYouMean } from '../config/nearest.ts';

/**
 * What the word after a command stands for, such as `list` of `mqproxy topic list`. `others` are
 * words that the command takes as well. @throws USAGE with the nearest, or all of them
 */
export function actionOf<T>(
  command: string,
  actions: Readonly<Record<string, T>>,
  word: string | undefined,
  others: readonly string[] = [],
): T {
  const all = [...Object.keys(actions), ...others];
  if (word === undefined) throw coded('USAGE', `${command} needs one of ${all.join(', ')}`);
  const action = Object.hasOwn(actions, word) ? actions[word] : undefined;
  if (action !== undefined) return action;
  throw coded('USAGE', `unknown action ${command} ${word}${didYouMean(word, all)}`);
}
