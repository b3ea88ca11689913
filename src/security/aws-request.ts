import { createHash, createHmac } from 'node:crypto'
import { messageOf, SlipwayError } from '../core/errors.ts'
import { askOutside } from './outside-request.ts'
import type { Hash, Hmac } from 'node:crypto'
import type { IncomingMessage } from 'node:http'

export interface AwsRequest {
  /** As it is signed, which is also what the name of its host begins with: `monitoring`, `sns`. */
  readonly service: string
  /** Where the name of its host begins otherwise: `api.ecr`. */
  readonly host?: string
  /** What AWS_ENDPOINT_URL_... is called for it: `CLOUDWATCH`, `SNS`. */
  readonly setting: string
  readonly region: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
  readonly timeoutMs: number
  readonly signal?: AbortSignal | undefined
  /** For AWS_ENDPOINT_URL. Default: that of the process. */
  readonly environment?: Readonly<Record<string, string | undefined>> | undefined
}

const REGION = /^[a-z]{2,3}(-[a-z]+)+-[0-9]{1,2}$/

/**
 * Posts a request of one of Amazon's services, signed (Signature Version 4) with the credentials that the object store has: those of the
 * environment, a profile, web identity, the container or the machine. The body of the answer is still to be read.
 * @throws SLW_DEPENDENCY_MISSING; SLW_INPUT_INVALID for what is no region; SLW_SECRET_UNAVAILABLE without credentials; what the connection throws
 */
export async function askAws(request: AwsRequest): Promise<IncomingMessage> {
  const { service, region, body, timeoutMs, signal } = request
  const { SignatureV4, credentials } = await loadSigner()
  const url = addressOf(request)
  const signer = new SignatureV4({ service, region, credentials: () => identity(credentials), sha256: Sha256 })
  const signed = await signer.sign({
    method: 'POST',
    protocol: url.protocol,
    hostname: url.hostname,
    ...(url.port !== '' && { port: Number(url.port) }),
    path: url.pathname,
    query: {},
    headers: { host: url.host, ...request.headers },
    body,
  })
  // The address is the one of the service or of whoever set up this process, never of a caller; inside a private network it may be private.
  return await askOutside(url.href, { method: 'POST', headers: signed.headers, body, timeoutMs, allowInside: true, signal })
}

/** https://docs.aws.amazon.com/general/latest/gr/rande.html */
function addressOf({ service, host = service, setting, region, environment = process.env }: AwsRequest): URL {
  if (!REGION.test(region))
    throw new SlipwayError('SLW_INPUT_INVALID', `${JSON.stringify(region)} is no region of AWS; expected one such as eu-central-1`)
  const given = environment[`AWS_ENDPOINT_URL_${setting}`] ?? environment['AWS_ENDPOINT_URL']
  return new URL(given ?? `https://${host}.${region}.amazonaws.com${region.startsWith('cn-') ? '.cn' : ''}/`)
}

type Credentials = ReturnType<typeof import('@aws-sdk/credential-provider-node').defaultProvider>

/** Found once: the chain keeps what it finds, and renews it before it ends. */
let chain: Credentials | undefined

/** The only place that loads Amazon's signer and its chain of credentials. */
async function loadSigner(): Promise<{ SignatureV4: typeof import('@smithy/signature-v4').SignatureV4; credentials: Credentials }> {
  try {
    const { SignatureV4 } = await import('@smithy/signature-v4')
    const { defaultProvider } = await import('@aws-sdk/credential-provider-node')
    return { SignatureV4, credentials: (chain ??= defaultProvider()) }
  } catch (error) {
    throw new SlipwayError(
      'SLW_DEPENDENCY_MISSING',
      `requests to AWS cannot be signed (${messageOf(error)}); install what does with: npm install @smithy/signature-v4 @aws-sdk/credential-provider-node`,
      { cause: error },
    )
  }
}

async function identity(credentials: Credentials): ReturnType<Credentials> {
  return await credentials().catch((error: unknown) => {
    throw new SlipwayError(
      'SLW_SECRET_UNAVAILABLE',
      `there are no credentials of AWS (${messageOf(error)}); give AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or a role of the machine`,
      { cause: error },
    )
  })
}

/** The hash of Node, in the form that the signer asks for. */
class Sha256 {
  readonly #hash: Hash | Hmac

  constructor(secret?: string | ArrayBuffer | ArrayBufferView) {
    this.#hash = secret === undefined ? createHash('sha256') : createHmac('sha256', keyOf(secret))
  }

  update(data: string | Uint8Array): void {
    this.#hash.update(data)
  }

  async digest(): Promise<Uint8Array> {
    return this.#hash.digest()
  }

  reset(): void {
    throw new Error('a hash is used once')
  }
}

function keyOf(secret: string | ArrayBuffer | ArrayBufferView): string | Uint8Array {
  if (typeof secret === 'string') return secret
  return ArrayBuffer.isView(secret) ? new Uint8Array(secret.buffer, secret.byteOffset, secret.byteLength) : new Uint8Array(secret)
}
