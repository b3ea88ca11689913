import { messageOf, SlipwayError } from '../core/errors.ts'
import type { Claims, People, Person } from './people.ts'
import type { Configuration, TokenEndpointResponse, TokenEndpointResponseHelpers } from 'openid-client'

/** An OpenID Connect issuer at which people sign in. */
export interface SignInOptions {
  readonly issuer: string
  readonly clientId: string
  /** Undefined: a public client, which shows PKCE only. */
  readonly clientSecret?: (() => Promise<string>) | undefined
  /** Claim with the groups of a person. Default: groups. */
  readonly groupsClaim?: string | undefined
  /** Default: openid profile email. */
  readonly scope?: string | undefined
  /** Address at which browsers reach the control plane, without a slash at the end. */
  readonly publicUrl: string
  readonly people: People
}

interface PendingLogin {
  readonly nonce: string
  readonly verifier: string
  /** Path of the control plane to which the browser returns afterwards. */
  readonly returnTo: string
}

interface PendingDevice {
  readonly deviceCode: string
}

/** A pending sign-in by device code: the code that a person enters on another device. */
export interface DeviceLogin {
  /** Handle for polling whether the sign-in is done. */
  readonly handle: string
  readonly userCode: string
  readonly verificationUri: string
  readonly verificationUriComplete: string | undefined
  readonly intervalMs: number
  readonly expiresInMs: number
}

/** Time for which the metadata of the issuer is cached. */
const CONFIGURED_MS = 5 * 60_000
type Tokens = TokenEndpointResponse & TokenEndpointResponseHelpers

/** Time that a person has to sign in. */
export const LOGIN_MS = 10 * 60_000
const DEVICE_GRANT = 'urn:ietf:params:oauth:grant-type:device_code'

/** People sign in with a browser (authorization code with PKCE) or with a code on another device (RFC 8628). */
export class SignIn {
  readonly #options: SignInOptions
  #configuration: Promise<Configuration> | undefined
  #configuredAt = 0

  constructor(options: SignInOptions) {
    this.#options = options
  }

  get #redirectUri(): string {
    return `${this.#options.publicUrl}/auth/callback`
  }

  get issuer(): string {
    return this.#options.issuer
  }

  /** Asks the issuer at first use, and again after a failure. @throws SLW_UNREACHABLE */
  async #configured(): Promise<{ readonly client: typeof import('openid-client'); readonly configuration: Configuration }> {
    const client = await import('openid-client')
    const { issuer, clientId, clientSecret } = this.#options
    const url = new URL(issuer)
    // Discovery is repeated after a while: keys of the issuer and our secret may have been rotated.
    if (Date.now() - this.#configuredAt > CONFIGURED_MS) this.#configuration = undefined
    if (this.#configuration === undefined) this.#configuredAt = Date.now()
    this.#configuration ??= client.discovery(
      url,
      clientId,
      undefined,
      clientSecret === undefined ? client.None() : client.ClientSecretBasic(await clientSecret()),
      // Only an issuer on this machine is asked without TLS.
      url.protocol === 'http:' && /^(?:localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(url.hostname)
        ? { execute: [client.allowInsecureRequests] }
        : {},
    )
    try {
      return { client, configuration: await this.#configuration }
    } catch (error) {
      this.#configuration = undefined
      throw new SlipwayError('SLW_UNREACHABLE', `the issuer ${issuer} cannot be asked: ${messageOf(error)}`, { cause: error })
    }
  }

  /** The address to which a browser is redirected. @param returnTo a path of the control plane; anything else becomes the root */
  async begin(returnTo: string): Promise<{ readonly url: string; readonly state: string }> {
    const { client, configuration } = await this.#configured()
    const [state, nonce, verifier] = [client.randomState(), client.randomNonce(), client.randomPKCECodeVerifier()]
    const url = client.buildAuthorizationUrl(configuration, {
      redirect_uri: this.#redirectUri,
      scope: this.#scope,
      code_challenge: await client.calculatePKCECodeChallenge(verifier),
      code_challenge_method: 'S256',
      state,
      nonce,
    })
    const pending: PendingLogin = { nonce, verifier, returnTo: this.#ownPath(returnTo) }
    await this.#options.people.rememberLogin(state, pending, LOGIN_MS)
    return { url: url.href, state }
  }

  /** A path of the control plane; anything that a browser could read as another place becomes the root. */
  #ownPath(text: string): string {
    const { publicUrl } = this.#options
    const { origin } = new URL(publicUrl)
    const resolved = (place: string): URL | undefined => (URL.canParse(place, origin) ? new URL(place, origin) : undefined)
    const url = resolved(text)
    if (url?.origin !== origin) return '/'
    const path = `${url.pathname}${url.search}`
    // What is left when "/.." is resolved may begin with two slashes, which is another host.
    return resolved(path)?.href === `${origin}${path}` ? path : '/'
  }

  get #scope(): string {
    return this.#options.scope ?? 'openid profile email'
  }

  /**
   * Completes a sign-in when the browser comes back.
   * @param query with the code and the state. @param state the state this browser was given: a link from somebody else signs nobody in
   * @throws SLW_UNAUTHENTICATED
   */
  async finish(query: string, state: string | undefined): Promise<{ readonly person: Person; readonly returnTo: string }> {
    const given = new URLSearchParams(query).get('state')
    const pending = given === null || given !== state ? undefined : await this.#options.people.takeLogin<PendingLogin>(given)
    if (pending === undefined)
      throw new SlipwayError('SLW_UNAUTHENTICATED', 'this sign-in was not begun here, or has taken too long: begin again')
    const { client, configuration } = await this.#configured()
    try {
      const tokens = await client.authorizationCodeGrant(configuration, new URL(`${this.#redirectUri}?${query}`), {
        pkceCodeVerifier: pending.verifier,
        expectedState: state!,
        expectedNonce: pending.nonce,
        idTokenExpected: true,
      })
      return { person: await this.#person(await this.#claims(tokens)), returnTo: pending.returnTo }
    } catch (error) {
      throw refused(error)
    }
  }

  /** @throws SLW_UNREACHABLE; SLW_NOT_IMPLEMENTED for an issuer without device codes */
  async beginDevice(): Promise<DeviceLogin> {
    const { client, configuration } = await this.#configured()
    if (configuration.serverMetadata().device_authorization_endpoint === undefined)
      throw new SlipwayError('SLW_NOT_IMPLEMENTED', `the issuer ${this.#options.issuer} offers no sign-in by device code`)
    try {
      const device = await client.initiateDeviceAuthorization(configuration, { scope: this.#scope })
      const handle = client.randomState()
      await this.#options.people.rememberLogin(handle, { deviceCode: device.device_code } satisfies PendingDevice, device.expires_in * 1000)
      return {
        handle,
        userCode: device.user_code,
        verificationUri: device.verification_uri,
        verificationUriComplete: device.verification_uri_complete,
        intervalMs: (device.interval ?? 5) * 1000,
        expiresInMs: device.expires_in * 1000,
      }
    } catch (error) {
      throw refused(error)
    }
  }

  /** @returns undefined while the sign-in is pending. @throws SLW_UNAUTHENTICATED for an expired handle, or a refused sign-in */
  async pollDevice(handle: string): Promise<Person | undefined> {
    const { people } = this.#options
    const pending = await people.findLogin<PendingDevice>(handle)
    if (pending === undefined) throw new SlipwayError('SLW_UNAUTHENTICATED', 'this sign-in is over: begin again')
    const { client, configuration } = await this.#configured()
    try {
      const tokens = await client.genericGrantRequest(configuration, DEVICE_GRANT, { device_code: pending.deviceCode })
      await people.takeLogin(handle)
      return await this.#person(await this.#claims(tokens))
    } catch (error) {
      const { error: code } = error as { error?: string }
      if (code === 'authorization_pending' || code === 'slow_down') return undefined
      throw refused(error)
    }
  }

  /** Claims of the token and of the userinfo endpoint: many issuers give addresses and groups only at the second. */
  async #claims(tokens: Tokens): Promise<Readonly<Record<string, unknown>> | undefined> {
    const claims = tokens.claims()
    const { client, configuration } = await this.#configured()
    if (claims === undefined || configuration.serverMetadata().userinfo_endpoint === undefined) return claims
    return { ...claims, ...(await client.fetchUserInfo(configuration, tokens.access_token, claims.sub)) }
  }

  async #person(claims: Readonly<Record<string, unknown>> | undefined): Promise<Person> {
    const { issuer, groupsClaim = 'groups', people } = this.#options
    const text = (name: string): string | undefined =>
      typeof claims?.[name] === 'string' && claims[name] !== '' ? claims[name] : undefined
    const subject = text('sub')
    if (subject === undefined) throw new SlipwayError('SLW_UNAUTHENTICATED', `the issuer ${issuer} says nothing of who has signed in`)
    // Roles are bound to this name: an address that the issuer has verified, or the issuer's subject; never text that somebody typed in.
    const email = claims?.['email_verified'] === true ? text('email') : undefined
    const groups = claims?.[groupsClaim]
    const person: Claims = {
      issuer,
      subject,
      name: email ?? subject,
      email,
      groups: Array.isArray(groups) ? groups.filter((group) => typeof group === 'string') : [],
    }
    return await people.signedIn(person)
  }
}

function refused(error: unknown): SlipwayError {
  if (error instanceof SlipwayError) return error
  const { error: code, error_description: description } = error as { error?: string; error_description?: string }
  return new SlipwayError(
    'SLW_UNAUTHENTICATED',
    `the sign-in was refused: ${[code, description].filter(Boolean).join(': ') || messageOf(error)}`,
    {
      cause: error,
    },
  )
}
