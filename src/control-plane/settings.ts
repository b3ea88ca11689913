import { SlipwayError } from '../core/errors.ts'
import { silentLogger } from '../core/log.ts'
import { originOf } from '../core/origin.ts'
import { isLoopback } from '../security/host-check.ts'
import { Secrets } from '../security/secrets/secrets.ts'
import { CONNECTION_LIMITS } from '../api/connections.ts'
import { databaseUrl, objectsUrl } from './databases.ts'
import { mailServerOf } from './send-mail.ts'
import type { ConnectionLimits } from '../api/connections.ts'
import type { MailOptions, MailServer } from './send-mail.ts'
import type { SignInOptions } from '../access/sign-in.ts'
import type { Role } from '../contract/roles.ts'
import type { Logger } from '../core/log.ts'
import type { Secret } from '../security/secrets/secrets.ts'

/** Options that a user may set. */
export interface ControlPlaneOptions {
  /** Folder of everything that has no place of its own. */
  readonly data: string
  /** `sqlite:PATH` or `postgres://...`. Default: a file in `data`. */
  readonly database?: string | undefined
  /** `file:PATH` or `s3://bucket/prefix`. Default: a folder in `data`. */
  readonly objects?: string | undefined
  /** Default: 127.0.0.1. */
  readonly host?: string | undefined
  /** 0: any free port. */
  readonly port: number
  /** Host names by which a loopback address may be reached, beside those of this machine. */
  readonly allowedHosts?: readonly string[]
  /** Whether webhooks may be sent to addresses of this machine and its network. Default: no. */
  readonly allowPrivateAddresses?: boolean
  /** Whether clients of MLflow send and get large files from the bucket itself, by signed addresses. Default: no. */
  readonly directTransfers?: boolean
  /** URL by which clients reach the control plane, also through proxies. Where given, clients of MLflow 3 send large files in parts. */
  readonly publicUrl?: string | undefined
  /** PEM files; `clientCa` also asks clients for a certificate. Default: without TLS. */
  readonly tls?: { readonly cert: string; readonly key: string; readonly clientCa: string | undefined } | undefined
  /** A proxy in front of this process speaks TLS. Default: false. */
  readonly behindProxy?: boolean
  /** Permits listening beyond this machine without TLS. Default: false. */
  readonly insecure?: boolean
  /** Limit of one caller. Default: 60000. */
  readonly requestsPerMinute?: number | undefined
  /** Limits of its connections. Default: 1000 of one address, a kilobyte a second. Behind a proxy all have one address, and none is limited. */
  readonly connections?: Partial<ConnectionLimits> | undefined
  /** Days for which records of predictions are kept. Default: 30. */
  readonly recordsDays?: number | undefined
  /** Password of the PostgreSQL user; overrides the URL's. */
  readonly databasePassword?: Secret | undefined
  /** Resolver of references to secrets. Default: a new one. */
  readonly secrets?: Secrets
  /** The server that takes mail. Default: none, and nobody is told by mail. */
  readonly mail?: MailOptions | undefined
  /** Sign-in of people. Default: none. */
  readonly signIn?: SignInConfig | undefined
  readonly logger?: Logger
  /** A server beside the control plane, which is started once there is something to serve. */
  readonly serving?: LocalServing
}

/** A server on this machine that follows: a model with the alias `champion` then needs no declared endpoint. */
export interface LocalServing {
  readonly url: string
  /** API key of the server. */
  readonly key: string
  readonly onEndpoints: () => void
}

/** An OpenID Connect issuer, and what people who sign in there may do. */
export interface SignInConfig extends Pick<SignInOptions, 'issuer' | 'clientId' | 'clientSecret' | 'groupsClaim' | 'scope'> {
  /** Role of everybody who can sign in, in every environment. Default: none. */
  readonly defaultRole?: Role | undefined
  /** Addresses or names of the first admins. */
  readonly admins?: readonly string[]
}

/** Resolved settings of a control plane: its options, and values derived from them. */
export interface Settings {
  readonly data: string
  /** `sqlite:PATH` or `postgres://...`. */
  readonly database: string
  readonly databasePassword: (() => Promise<string>) | undefined
  /** `file:PATH` or `s3://bucket/prefix`. */
  readonly objects: string
  readonly host: string
  readonly port: number
  /** Bound to loopback, without a proxy: every caller is on this machine. */
  readonly local: boolean
  /** Whether clients connect by TLS, to this process or to a proxy. */
  readonly secure: boolean
  readonly tls: ControlPlaneOptions['tls']
  readonly behindProxy: boolean
  readonly insecure: boolean
  readonly allowedHosts: readonly string[]
  readonly allowPrivateAddresses: boolean
  readonly directTransfers: boolean
  /** Without a slash at the end. */
  readonly publicUrl: string | undefined
  /** Limit of one caller. */
  readonly requestsPerMinute: number
  readonly connections: ConnectionLimits
  readonly recordsDays: number
  readonly secrets: Secrets
  readonly mail: MailServer | undefined
  /** Includes the address to which people are sent back after sign-in. */
  readonly signIn: (SignInConfig & Pick<SignInOptions, 'publicUrl'>) | undefined
  readonly serving: LocalServing | undefined
  readonly log: Logger
}

/** Default limit of one caller: clients of MLflow log a metric with each step of a loop. */
const REQUESTS_PER_MINUTE = 60_000

/** Default number of days for which records of predictions are kept. */
const RECORDS_DAYS = 30

/** @throws SLW_CONFIG_INVALID */
export function resolveSettings(options: ControlPlaneOptions): Settings {
  const { data, port, host = '127.0.0.1', logger: log = silentLogger, tls, behindProxy = false, databasePassword } = options
  const publicUrl = publicUrlOf(options.publicUrl)
  return {
    data,
    database: databaseUrl(data, options.database),
    databasePassword: databasePassword === undefined ? undefined : () => databasePassword.value(),
    objects: objectsUrl(data, options.objects),
    host,
    port,
    // Requests through a proxy come from anywhere.
    local: isLoopback(host) && !behindProxy,
    secure: tls !== undefined || behindProxy || publicUrl?.startsWith('https:') === true,
    tls,
    behindProxy,
    insecure: options.insecure ?? false,
    allowedHosts: options.allowedHosts ?? [],
    allowPrivateAddresses: options.allowPrivateAddresses ?? false,
    directTransfers: options.directTransfers ?? false,
    publicUrl,
    requestsPerMinute: options.requestsPerMinute ?? REQUESTS_PER_MINUTE,
    connections: { ...CONNECTION_LIMITS, ...(behindProxy && { perAddress: Number.POSITIVE_INFINITY }), ...options.connections },
    recordsDays: options.recordsDays ?? RECORDS_DAYS,
    secrets: options.secrets ?? new Secrets({ log }),
    mail: options.mail === undefined ? undefined : mailServerOf(options.mail),
    signIn: signInOf(options, host, publicUrl),
    serving: options.serving,
    log,
  }
}

/** @throws SLW_CONFIG_INVALID where browsers could not be sent back */
function signInOf({ signIn, port, tls }: ControlPlaneOptions, host: string, publicUrl: string | undefined): Settings['signIn'] {
  if (signIn === undefined) return undefined
  if (publicUrl === undefined && port === 0)
    throw new SlipwayError('SLW_CONFIG_INVALID', 'people who sign in are sent back to us: give --public-url, or a port')
  return { ...signIn, publicUrl: publicUrl ?? originOf({ secure: tls !== undefined, host, port }) }
}

/** The configured public URL without a slash at the end; undefined where there is none. @throws SLW_CONFIG_INVALID */
function publicUrlOf(text: string | undefined): string | undefined {
  if (text === undefined) return undefined
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.search !== '' || url.hash !== '')
    throw new SlipwayError('SLW_CONFIG_INVALID', `the public URL ${text} is none; expected one such as https://models.example.org/slipway`)
  return url.href.replace(/\/+$/, '')
}
