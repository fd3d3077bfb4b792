import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { tempDir } from './temp-dir.ts';

/** A certificate and its key, as paths of PEM files. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
  /** Both in one file, the key first: the store that a broker reads. */
  readonly both: string;
}

/**
 * An authority of the test's own, in a temp folder that is removed after it. Curves, not RSA: a key
 * of those takes seconds to find when the machine is busy.
 */
export class Authority {
  /** Path of the PEM file that clients are to trust. */
  readonly cert: string;
  readonly #folder = tempDir();
  readonly #key: string;

  constructor() {
    this.cert = join(this.#folder, 'authority.pem');
    this.#key = join(this.#folder, 'authority.key');
    const files = ['-keyout', this.#key, '-out', this.cert];
    openssl('req', '-x509', ...newKey, ...files, '-days', '2', '-subj', '/CN=an authority');
  }

  /** Signs a certificate of these names, `DNS:localhost` or `IP:127.0.0.1`, for either end. */
  issue(name: string, ...names: readonly string[]): Certificate {
    const path = (ending: string): string => join(this.#folder, `${name}.${ending}`);
    const [cert, key, both, request] = [path('pem'), path('key'), path('both'), path('csr')];
    openssl('req', ...newKey, '-keyout', key, '-out', request, '-subj', `/CN=${name}`);
    const extensions = path('extensions');
    writeFileSync(extensions, names.length === 0 ? '' : `subjectAltName=${names.join(',')}\n`);
    const signed = ['-CA', this.cert, '-CAkey', this.#key, '-extfile', extensions, '-days', '2'];
    openssl('x509', '-req', '-in', request, '-out', cert, '-CAcreateserial', ...signed);
    writeFileSync(both, readFileSync(key, 'utf8') + readFileSync(cert, 'utf8'));
    return { cert, key, both };
  }
}

const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];

/** Runs openssl, which tests with TLS need. */
export function openssl(...args: readonly string[]): void {
  const { status, stderr, error } = spawnSync('openssl', args, { encoding: 'utf8' });
  assert.equal(error, undefined, 'tests with TLS need openssl: apt-get install openssl');
  assert.equal(status, 0, `openssl ${args.join(' ')}: ${stderr}`);
}
