// What we say of ourselves: our version, and the Envoy whose configuration and behaviour we follow.
import { readFileSync } from 'node:fs';

/** The release whose API, names and recorded behaviour this version follows. */
export const envoyVersion = '1.40.0';

/** Of what two epochs of a process would share. */
export function hotRestartVersion(isDisabled: boolean): string {
  return isDisabled ? 'disabled' : '11.104';
}

/** In the form that tools cut from `envoy --version`: commit/version/status/build/TLS library. */
export function versionLine(program: string): string {
  return `${program}  version: ${version()}`;
}

/** As `/server_info` shows it. */
export function version(): string {
  return `chancery-${packageVersion()}/${envoyVersion}/Clean/RELEASE/OpenSSL`;
}

export function packageVersion(): string {
  for (const candidate of ['../../package.json', '../../../package.json']) {
    try {
      const manifest = JSON.parse(readFileSync(new URL(candidate, import.meta.url), 'utf8')) as {
        name: string;
        version: string;
      };
      if (manifest.name === 'chancery') return manifest.version;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
  return 'unknown';
}
