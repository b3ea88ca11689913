import { isIP } from 'node:net'
import { messageOf, SlipwayError } from '../core/errors.ts'
import { isLoopback } from '../security/host-check.ts'
import type { Notice } from '../ledger/notices.ts'
import type { Secret } from '../security/secrets/secrets.ts'

/** What a user may set of the server that takes mail. */
export interface MailOptions {
  /** `smtp://[USER@]HOST[:PORT]`, by STARTTLS where the server has it; `smtps://...` by TLS from the start. */
  readonly url: string
  /** Who it is from: `slipway@example.org`, `Slipway <slipway@example.org>`. */
  readonly from: string
  readonly password?: Secret | undefined
}

/** A server that takes mail. */
export interface MailServer {
  readonly host: string
  readonly port: number
  /** TLS from the start. */
  readonly secure: boolean
  /** Nothing is sent where the server has no STARTTLS: a password would go there in the clear. */
  readonly requireTls: boolean
  readonly user: string | undefined
  readonly password: Secret | undefined
  readonly from: string
}

const FROM = /^([^<>\r\n]{0,100}<)?[^\s@<>,;]{1,64}@[^\s@<>,;]{1,253}>?$/

/** @throws SLW_CONFIG_INVALID, without repeating the URL, which may have a password in it */
export function mailServerOf({ url: given, from, password }: MailOptions): MailServer {
  const refuse = (what: string): never => {
    throw new SlipwayError('SLW_CONFIG_INVALID', `the server that takes mail: ${what}`)
  }
  const url = URL.parse(given)
  if (
    url === null ||
    !['smtp:', 'smtps:'].includes(url.protocol) ||
    url.hostname === '' ||
    !['', '/'].includes(url.pathname) ||
    url.search !== ''
  )
    return refuse('expected smtp://USER@HOST:PORT, or smtps:// for TLS from the start')
  if (url.password !== '') return refuse('a password does not belong into the URL; name the place where it lies (--smtp-password env:NAME)')
  if (!FROM.test(from))
    return refuse(`${JSON.stringify(from)} is no sender; expected slipway@example.org or "Slipway <slipway@example.org>"`)
  const user = url.username === '' ? undefined : decodeURIComponent(url.username)
  if ((user === undefined) !== (password === undefined)) return refuse('a user (in the URL) and a password belong together')
  const secure = url.protocol === 'smtps:'
  const host = url.hostname.replace(/^\[|\]$/g, '')
  return {
    host,
    port: url.port === '' ? (secure ? 465 : 587) : Number(url.port),
    secure,
    requireTls: !secure && user !== undefined && !isLoopback(host),
    user,
    password,
    from,
  }
}

/** What one attempt may take, in each of its steps. */
const TIMEOUT_MS = 30_000

/** Sends one mail. @returns the code of the server, 250 where it has taken it. @throws what the server or the connection says */
export async function sendMail(
  server: MailServer,
  { to, subject, text, id }: Extract<Notice, { kind: 'mail' }>,
  signal: AbortSignal,
): Promise<number> {
  const { createTransport } = await loadNodemailer()
  const { host, port, secure, requireTls, user, password, from } = server
  const transport = createTransport({
    host,
    port,
    secure,
    requireTLS: requireTls,
    ...(user !== undefined && { auth: { user, pass: await password!.value() } }),
    ...(isIP(host) === 0 && { tls: { servername: host } }),
    connectionTimeout: TIMEOUT_MS,
    greetingTimeout: TIMEOUT_MS,
    socketTimeout: TIMEOUT_MS,
    disableFileAccess: true,
    disableUrlAccess: true,
  })
  try {
    const { response } = await transport.sendMail({
      from,
      to,
      subject,
      text,
      // The same for each attempt, so that a mail that came twice is known.
      messageId: `<${id}@${domainOf(from)}>`,
      headers: { 'auto-submitted': 'auto-generated', 'x-slipway-delivery': id },
      signal,
    })
    return Number(/^\d{3}/.exec(response)?.[0] ?? 250)
  } finally {
    transport.close()
  }
}

function domainOf(from: string): string {
  return /@([^>]+)>?$/.exec(from)?.[1] ?? 'slipway'
}

/** The only place that loads the library, which is needed by nobody who sends no mail. */
async function loadNodemailer(): Promise<typeof import('nodemailer')> {
  return await import('nodemailer').catch((error: unknown) => {
    throw new SlipwayError(
      'SLW_DEPENDENCY_MISSING',
      `mail cannot be sent (${messageOf(error)}); install what sends it with: npm install nodemailer`,
      { cause: error },
    )
  })
}
