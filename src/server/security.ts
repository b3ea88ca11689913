import { AdminToken } from '../security/admin-token.ts'
import { ApiKeys } from '../security/api-keys.ts'
import { Certificates } from '../security/certificates.ts'
import { SlipwayError, toSlipwayError } from '../core/errors.ts'
import { isLoopback } from '../security/host-check.ts'
import type { Logger } from '../core/log.ts'
import type { ServerConfig } from './options.ts'

/** Keys, admin token and certificates of a server. */
export interface Security extends Disposable {
  readonly keys: ApiKeys | undefined
  readonly adminToken: AdminToken | undefined
  readonly certificates: Certificates | undefined
  /**
   * Reads keys, token and certificates again. Those that cannot be read are logged and stay as they were.
   * @returns the errors; empty when all is well. Never rejects
   */
  reload(): Promise<readonly SlipwayError[]>
}

/** The settings that security needs. */
export type SecurityConfig = Pick<ServerConfig, 'host' | 'insecure' | 'behindProxy' | 'apiKeysFile' | 'adminTokenFile' | 'tls'>

/**
 * Reads keys, token and certificates, and refuses to open a server to a network without them.
 * @throws SLW_HOST_REFUSED, SLW_CONFIG_INVALID
 */
export async function openSecurity(
  config: SecurityConfig,
  environment: Readonly<Record<string, string | undefined>>,
  log: Logger,
): Promise<Security> {
  const [keys, adminToken] = await Promise.all([
    ApiKeys.open({ file: config.apiKeysFile, environment, log }),
    AdminToken.open({ file: config.adminTokenFile, environment, log }),
  ])
  const certificates = await openCertificates(config.tls, log)
  try {
    refuseOpenHost(config, keys !== undefined, certificates !== undefined)
  } catch (error) {
    certificates?.[Symbol.dispose]()
    throw error
  }
  const parts = { 'API keys': keys, 'admin token': adminToken, 'TLS certificate': certificates }
  return {
    keys,
    adminToken,
    certificates,
    async reload() {
      const failures: SlipwayError[] = []
      for (const [name, part] of Object.entries(parts)) {
        try {
          await part?.reload()
        } catch (thrown) {
          const error = toSlipwayError(thrown)
          log.error({ code: error.code }, `going on with the old ${name}: ${error.message}`)
          failures.push(error)
        }
      }
      return failures
    },
    [Symbol.dispose]: () => certificates?.[Symbol.dispose](),
  }
}

async function openCertificates({ cert, key, clientCa }: ServerConfig['tls'], log: Logger): Promise<Certificates | undefined> {
  if (cert !== undefined && key !== undefined) return Certificates.open({ cert, key, clientCa }, log)
  if (cert === undefined && key === undefined && clientCa === undefined) return undefined
  throw new SlipwayError(
    'SLW_CONFIG_INVALID',
    `TLS needs a certificate and its key: ${cert === undefined ? 'tls.cert (--tls-cert)' : 'tls.key (--tls-key)'} is missing`,
  )
}

function refuseOpenHost({ host, insecure, behindProxy }: SecurityConfig, hasKeys: boolean, hasTls: boolean): void {
  if (insecure || isLoopback(host)) return
  const missing: string[] = []
  if (!hasKeys) missing.push('API keys, so anyone who reaches this machine could use the models')
  if (!hasTls && !behindProxy) missing.push('TLS, so keys and data could be read on the way')
  if (missing.length === 0) return
  throw new SlipwayError(
    'SLW_HOST_REFUSED',
    `--host ${host} listens beyond this machine, and there is no ${missing.join('; and no ')}. Three ways out: ` +
      'give keys (--api-keys-file or SLIPWAY_API_KEYS) and a certificate (--tls-cert and --tls-key); ' +
      'give keys and --behind-proxy, where a proxy ends TLS; or add --insecure on a network that you trust',
  )
}
