import { Readable } from 'node:stream'
import { SlipwayError, toSlipwayError } from '../core/errors.ts'
import type { IncomingMessage } from 'node:http'
import type { FastifyRequest } from 'fastify'
import type { BackupManifest } from '../storage/backup/manifest.ts'
import type { ImportStatus } from '../contract/import-status.ts'
import type { Scope } from '../ledger/scope.ts'
import type { ServedAnswer } from '../contract/registry-api.ts'
import type { Logger } from '../core/log.ts'
import type { Contents } from '../storage/contents.ts'
import type { WorkQueue } from '../storage/work/work-queue.ts'
import type { PartUploads } from '../storage/part-uploads.ts'
import type { Files } from '../registry/files.ts'
import type { Registry } from '../registry/registry.ts'
import type { Windows } from '../monitoring/windows.ts'
import type { Delivery } from '../delivery/delivery.ts'
import { DEFAULT_ENVIRONMENT } from '../contract/api-address.ts'
import type { Environments } from '../ledger/environments.ts'
import type { Keys } from '../access/keys.ts'
import type { Certificates } from '../security/certificates.ts'
import type { People } from '../access/people.ts'
import type { Refusals } from '../access/refusals.ts'
import type { SignIn } from '../access/sign-in.ts'
import type { Signers } from '../registry/signers.ts'
import type { Webhooks } from '../ledger/webhooks.ts'
import type { Access } from './access.ts'
import type { News } from './news.ts'

/** What the server beside this control plane is doing. */
export interface ServingStatus {
  readonly url: string
  models(): Promise<ServedAnswer[]>
}

/** Everything that a control plane has, as a stream. @param withObjects default: where the bytes lie in a folder */
export type Backup = (withObjects?: boolean) => Promise<{ readonly manifest: BackupManifest; readonly archive: Readable }>

/** Bringing over what other servers have. */
export interface ImportStarter {
  start(scope: Scope, request: { readonly from: string; readonly authorization?: string | undefined }): Promise<ImportStatus>
  get(id: string): Promise<ImportStatus>
}

/** What the doors open onto. */
export interface ApiOptions {
  readonly registry: Registry
  readonly delivery: Delivery
  readonly windows: Windows
  readonly files: Files
  readonly contents: Contents
  readonly partUploads: PartUploads
  /** Whether large files go between clients and the bucket, where there is one. */
  readonly directTransfers: boolean
  /** By which clients reach us, without a slash at the end, where somebody has said so. */
  readonly publicUrl: string | undefined
  readonly signers: Signers
  readonly webhooks: Webhooks
  readonly keys: Keys
  /** Tells, soon after the fact, that there are new events. */
  readonly news: News
  /** The same of documents for servers. */
  readonly deliveryNews: News
  readonly backup: Backup
  readonly imports: ImportStarter
  readonly work: WorkQueue
  /** Undefined where no server is beside it. */
  readonly serving?: ServingStatus
  readonly access: Access
  readonly log: Logger
  readonly environments: Environments
  readonly people: People
  readonly refusals: Refusals
  /** Undefined: without TLS. */
  readonly certificates?: Certificates | undefined
  /** A proxy before us says who asks. */
  readonly behindProxy: boolean
  /** Whether browsers reach us by TLS: cookies then have names that no other host can set. */
  readonly secure: boolean
  /** Requests of one caller in a minute. */
  readonly requestsPerMinute: number
  /** Undefined where people do not sign in. */
  readonly signIn?: SignIn | undefined
}

/** The bytes of a request whose body nobody has read. */
export function streamOf({ body }: FastifyRequest): Readable {
  return (body ?? Readable.from([])) as Readable
}

/** JSON beyond this is refused; files have no limit. */
export const JSON_BYTES_MAX = 32 * 1024 * 1024
const ENVIRONMENT = Symbol('environment')
type Prefixed = IncomingMessage & { [ENVIRONMENT]?: string }

/** Takes `/env/NAME` off the front of an address and remembers it. @returns what is left */
export function takeEnvironment(request: IncomingMessage): string {
  const url = request.url ?? '/'
  const match = /^\/env\/([^/?]+)(\/[^]*)?$/.exec(url)
  if (match === null) return url
  ;(request as Prefixed)[ENVIRONMENT] = match[1]!
  return match[2] ?? '/'
}

/** Which environment a request is about. @throws SLW_NOT_FOUND */
export async function environmentOf(request: IncomingMessage, { environments }: Pick<ApiOptions, 'environments'>): Promise<string> {
  const named = (request as Prefixed)[ENVIRONMENT]
  return named === undefined ? DEFAULT_ENVIRONMENT : await environments.require(named)
}

/** The errors of the framework in our words. */
export function fromFastify(error: unknown): SlipwayError {
  const { statusCode, message = '' } = error as { statusCode?: number; message?: string }
  if (statusCode === 413) return new SlipwayError('SLW_BODY_TOO_LARGE', `the body is larger than ${JSON_BYTES_MAX} bytes`)
  if (statusCode === 415) return new SlipwayError('SLW_UNSUPPORTED_MEDIA_TYPE', 'send JSON, with Content-Type: application/json')
  if (statusCode !== undefined && statusCode < 500) return new SlipwayError('SLW_BAD_REQUEST', message)
  return toSlipwayError(error)
}
