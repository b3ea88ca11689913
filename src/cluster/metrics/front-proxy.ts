/** Who may ask: kube-apiserver, as the front proxy of aggregated API servers, by its certificate. */
import { readFile } from 'node:fs/promises'
import { messageOf, SlipwayError } from '../../core/errors.ts'
import type { IncomingMessage } from 'node:http'
import type { TLSSocket } from 'node:tls'
import type { KubernetesReader } from './kubernetes-reader.ts'

/** What kube-apiserver tells aggregated API servers of itself. */
export interface FrontProxy {
  /** Authority of its certificate (PEM). */
  readonly ca: string
  /** Common names of its certificate; none: any that the authority has signed. */
  readonly names: readonly string[]
  /** Headers with the name of the user who asks. */
  readonly userHeaders: readonly string[]
}

const CONFIG = '/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication'
/** Without an authority, TLS would trust those of everybody. */
const CERTIFICATE = '-----BEGIN CERTIFICATE-----'
const USER_HEADER = 'X-Remote-User'

/** As the cluster says. @throws SLW_CONFIG_INVALID where it has no front proxy; what the reader throws */
export async function frontProxyOf(kubernetes: KubernetesReader, signal: AbortSignal): Promise<FrontProxy> {
  const { data = {} } = (await kubernetes.get(CONFIG, signal)) as { data?: Record<string, string> }
  const ca = data['requestheader-client-ca-file']
  if (ca === undefined || !ca.includes(CERTIFICATE))
    throw new SlipwayError(
      'SLW_CONFIG_INVALID',
      'the cluster has no requestheader-client-ca-file in kube-system/extension-apiserver-authentication: its API server aggregates no others',
    )
  const userHeaders = namesIn(data['requestheader-username-headers'])
  return { ca, names: namesIn(data['requestheader-allowed-names']), userHeaders: userHeaders.length === 0 ? [USER_HEADER] : userHeaders }
}

/** As a file says. @throws SLW_CONFIG_INVALID */
export async function frontProxyFrom(file: string, names: readonly string[]): Promise<FrontProxy> {
  const ca = await readFile(file, 'utf8').catch((error: unknown) => {
    throw new SlipwayError('SLW_CONFIG_INVALID', `--front-proxy-ca ${file} cannot be read: ${messageOf(error)}`, { cause: error })
  })
  if (!ca.includes(CERTIFICATE)) throw new SlipwayError('SLW_CONFIG_INVALID', `--front-proxy-ca ${file} has no certificate (PEM)`)
  return { ca, names, userHeaders: [USER_HEADER] }
}

function namesIn(text: string | undefined): string[] {
  if (text === undefined || text === '') return []
  const names = JSON.parse(text) as unknown
  return Array.isArray(names) ? names.map(String) : []
}

/**
 * The user for whom the front proxy asks. Whether they may is decided before: kube-apiserver asks its own authorisation about a request
 * before it hands it on.
 * @throws SLW_UNAUTHENTICATED
 */
export function userOf({ names, userHeaders }: FrontProxy, request: IncomingMessage): string {
  const socket = request.socket as TLSSocket
  if (!socket.authorized) throw new SlipwayError('SLW_UNAUTHENTICATED', 'ask through the API server: this takes its certificate alone')
  const { CN: name } = socket.getPeerCertificate().subject
  if (names.length > 0 && !names.includes(String(name)))
    throw new SlipwayError('SLW_UNAUTHENTICATED', `the certificate is of "${String(name)}", and the API server's is of ${names.join(', ')}`)
  const user = userHeaders.map((header) => request.headers[header.toLowerCase()]).find((value) => value !== undefined && value !== '')
  if (user === undefined) throw new SlipwayError('SLW_UNAUTHENTICATED', `the request names no user (${userHeaders.join(', ')})`)
  return String(user)
}
