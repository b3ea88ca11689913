import { createServer } from 'node:http'
import { freePort } from '../fixtures.ts'
import type { Server } from 'node:http'

/** An OpenID Connect provider of other people, at which everybody may sign in by their name. */
export interface Issuer extends AsyncDisposable {
  readonly url: string
  readonly clientId: string
  readonly clientSecret: string
}

/** Groups of those who are in some. */
const GROUPS: Readonly<Record<string, readonly string[]>> = { anna: ['data-science'], otto: ['operations'] }

export async function startIssuer(redirectUri: string): Promise<Issuer> {
  const { default: Provider } = await import('oidc-provider')
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const [clientId, clientSecret] = ['slipway', 'a-secret-of-the-client']
  const provider = new Provider(url, {
    clients: [
      {
        client_id: clientId,
        client_secret: clientSecret,
        redirect_uris: [redirectUri],
        grant_types: ['authorization_code', 'urn:ietf:params:oauth:grant-type:device_code'],
      },
    ],
    features: { deviceFlow: { enabled: true } },
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name', 'groups'] },
    ttl: { Interaction: 600, Session: 600, Grant: 600, AccessToken: 600, IdToken: 600, DeviceCode: 600, AuthorizationCode: 60 },
    cookies: { keys: ['one', 'two'] },
    findAccount: (_context: unknown, id: string) => ({
      accountId: id,
      claims: async () => ({ sub: id, name: id, email: `${id}@example.org`, email_verified: true, groups: GROUPS[id] ?? [] }),
    }),
  } as never)
  const server: Server = createServer(provider.callback() as never)
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  return {
    url,
    clientId,
    clientSecret,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

/** As little of a browser as signing in takes: cookies by host, redirections, and forms with one button. */
export class Browser {
  readonly #jars = new Map<string, Map<string, string>>()

  cookies(url: string): Map<string, string> {
    const { host } = new URL(url)
    let jar = this.#jars.get(host)
    if (jar === undefined) this.#jars.set(host, (jar = new Map()))
    return jar
  }

  /** One request, without following where it leads. */
  async ask(url: string, init: RequestInit = {}): Promise<Response> {
    const jar = this.cookies(url)
    const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join('; ')
    const response = await fetch(url, {
      ...init,
      redirect: 'manual',
      headers: { ...(init.headers as object), ...(cookie !== '' && { cookie }) },
    })
    for (const line of response.headers.getSetCookie()) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? []
      if (value === '' || /expires=Thu, 01 Jan 1970|max-age=0/i.test(line)) jar.delete(name)
      else jar.set(name, value)
    }
    return response
  }

  /** Goes where it leads, signing in by a name, and confirming whatever is asked. @returns the last answer, and where it was */
  async visit(url: string, name: string): Promise<{ readonly url: string; readonly response: Response; readonly text: string }> {
    let at = url
    let response = await this.ask(at)
    for (let steps = 0; steps < 30; steps++) {
      const location = response.headers.get('location')
      if (location !== null) {
        at = new URL(location, at).href
        response = await this.ask(at)
        continue
      }
      const text = await response.text()
      const form = /<form[^>]*action="([^"]+)"[^>]*>(.*?)<\/form>/s.exec(text)
      if (form === null) return { url: at, response, text }
      const fields = new URLSearchParams()
      for (const [tag] of form[2]!.matchAll(/<input[^>]*>/g)) {
        const [, field] = /name="([^"]*)"/.exec(tag) ?? []
        if (field !== undefined) fields.set(field, /value="([^"]*)"/.exec(tag)?.[1] ?? '')
      }
      if (fields.has('login')) fields.set('login', name)
      if (fields.has('password')) fields.set('password', 'anything')
      at = new URL(form[1]!.replaceAll('&amp;', '&'), at).href
      response = await this.ask(at, { method: 'POST', body: fields })
    }
    throw new Error(`no end of pages at ${at}`)
  }
}
