import { hash, timingSafeEqual } from 'node:crypto'
import { SlipwayError } from '../core/errors.ts'
import { bearerOf } from './bearer.ts'
import { readSecretFile } from './secret-file.ts'
import type { Logger } from '../core/log.ts'

export const ADMIN_TOKEN_VARIABLE = 'SLIPWAY_ADMIN_TOKEN'

const CHARACTERS_MIN = 16

export interface AdminTokenSource {
  /** Takes precedence over the environment, as every flag does. */
  readonly file: string | undefined
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly log: Logger
}

/** The one token for changes of what is served. It is separate from API keys: a leaked API key opens no administration. */
export class AdminToken {
  readonly #source: AdminTokenSource
  #digest: Buffer

  private constructor(source: AdminTokenSource, digest: Buffer) {
    this.#source = source
    this.#digest = digest
  }

  /** @returns undefined where neither file nor variable is given. @throws SLW_CONFIG_INVALID, which never contains the token */
  static async open(source: AdminTokenSource): Promise<AdminToken | undefined> {
    if (source.file === undefined && (source.environment[ADMIN_TOKEN_VARIABLE] ?? '') === '') return undefined
    return new AdminToken(source, await readDigest(source))
  }

  /** Compares in constant time. @throws SLW_UNAUTHENTICATED */
  check(authorization: string | undefined): void {
    const token = bearerOf(authorization)
    if (token === undefined)
      throw new SlipwayError('SLW_UNAUTHENTICATED', 'this route needs the admin token: send Authorization: Bearer TOKEN')
    if (!timingSafeEqual(digestOf(token), this.#digest))
      throw new SlipwayError('SLW_UNAUTHENTICATED', 'the admin token is not the right one')
  }

  /** Reads the file again. @throws SLW_CONFIG_INVALID; the token before stays then */
  async reload(): Promise<void> {
    this.#digest = await readDigest(this.#source)
  }
}

async function readDigest({ file, environment, log }: AdminTokenSource): Promise<Buffer> {
  const token = file === undefined ? (environment[ADMIN_TOKEN_VARIABLE] ?? '') : (await readSecretFile('adminTokenFile', file, log)).trim()
  const origin = file === undefined ? `environment ${ADMIN_TOKEN_VARIABLE}` : `adminTokenFile ${file}`
  if (token.length < CHARACTERS_MIN || !/^[\x21-\x7e]+$/.test(token))
    throw new SlipwayError(
      'SLW_CONFIG_INVALID',
      `${origin}: the admin token needs at least ${CHARACTERS_MIN} printable characters and no spaces; \`openssl rand -hex 24\` makes a good one`,
    )
  return digestOf(token)
}

function digestOf(token: string): Buffer {
  return hash('sha256', token, 'buffer')
}
