import { once } from 'node:events'
import { SMTPServer } from 'smtp-server'
import type { AddressInfo } from 'node:net'
import type { SMTPServerOptions } from 'smtp-server'

/** A mail as it came. */
export interface Mail {
  readonly from: string
  readonly to: readonly string[]
  readonly user: string | undefined
  readonly secure: boolean
  /** Names in small letters. */
  readonly headers: Readonly<Record<string, string>>
  readonly text: string
}

/** A server that takes mail, until the end of the block. @param answer throws what it refuses a mail with; a promise that stays open hangs */
export async function mailReceiver(
  options: SMTPServerOptions = {},
  answer: (mail: Mail, count: number) => void | Promise<void> = () => {},
): Promise<AsyncDisposable & { readonly mails: readonly Mail[]; readonly port: number }> {
  const mails: Mail[] = []
  const server = new SMTPServer({
    authOptional: true,
    ...options,
    onData(stream, session, callback) {
      const pieces: Buffer[] = []
      stream.on('data', (piece: Buffer) => pieces.push(piece))
      stream.once('end', () => {
        const { mailFrom, rcptTo } = session.envelope
        const mail: Mail = {
          from: mailFrom === false ? '' : mailFrom.address,
          to: rcptTo.map(({ address }) => address),
          user: session.user === undefined ? undefined : String(session.user),
          secure: session.secure,
          ...parsed(Buffer.concat(pieces).toString('utf8')),
        }
        mails.push(mail)
        const answered = async (): Promise<void> => {
          try {
            await answer(mail, mails.length)
            callback()
          } catch (error) {
            callback(error as Error)
          }
        }
        void answered()
      })
    },
  })
  server.on('error', () => {})
  const listening = server.listen(0, '127.0.0.1')
  await once(listening, 'listening')
  return {
    mails,
    port: (listening.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      await new Promise<void>((resolve) => server.close(resolve))
    },
  }
}

/** Headers are unfolded, the text is that of a mail of one part. */
function parsed(raw: string): Pick<Mail, 'headers' | 'text'> {
  const end = raw.indexOf('\r\n\r\n')
  const lines = raw
    .slice(0, end)
    .replaceAll(/\r\n[ \t]+/g, ' ')
    .split('\r\n')
  const headers = Object.fromEntries(
    lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]),
  )
  const body = raw.slice(end + 4)
  const encoding = headers['content-transfer-encoding']
  if (encoding === 'base64') return { headers, text: Buffer.from(body, 'base64').toString('utf8') }
  if (encoding !== 'quoted-printable') return { headers, text: body }
  const bytes = body
    .replaceAll(/=\r?\n/g, '')
    .replaceAll(/=([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
  return { headers, text: Buffer.from(bytes, 'latin1').toString('utf8') }
}
