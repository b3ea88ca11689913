import { spawn } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { messageOf, SlipwayError } from '../../core/errors.ts'
import { ecrCredentials } from './ecr.ts'

/** Name and password for a registry, or a token that gets others (`identityToken`). */
export type Credentials =
  | { readonly username: string; readonly password: string; readonly identityToken?: undefined }
  | { readonly identityToken: string }

type Environment = Readonly<Record<string, string | undefined>>

/** As `docker login` and `podman login` write it (containers-auth.json(5)). */
interface AuthFile {
  readonly auths?: Readonly<Record<string, { readonly auth?: string; readonly identitytoken?: string } | undefined>>
  readonly credHelpers?: Readonly<Record<string, string | undefined>>
  readonly credsStore?: string
}

/** Under what Docker keeps the credentials of its hub. */
const HUB_KEY = 'https://index.docker.io/v1/'
const FILE_BYTES_MAX = 1024 * 1024
const HELPER_MS_MAX = 30_000
const HELPER_BYTES_MAX = 64 * 1024
/** What helpers say where they have nothing (docker-credential-helpers, credentials/error.go). */
const NOT_FOUND = 'credentials not found in native keychain'

/**
 * Credentials for a registry, as Docker and Podman find them: helpers (`credHelpers`, `credsStore`) and `auths` of DOCKER_CONFIG/config.json
 * (default ~/.docker), then REGISTRY_AUTH_FILE or containers/auth.json in XDG_RUNTIME_DIR and XDG_CONFIG_HOME; and for ECR, a password that
 * AWS gives whoever may sign.
 * @returns undefined where there are none
 * @throws SLW_CONFIG_INVALID for a file that cannot be read; SLW_SECRET_UNAVAILABLE where a helper fails; never with a credential in it
 */
export async function findCredentials(
  host: string,
  repository: string,
  environment: Environment = process.env,
): Promise<Credentials | undefined> {
  for (const path of filesOf(environment)) {
    const file = await readAuthFile(path)
    if (file === undefined) continue
    const found = await credentialsIn(file, { path, host, repository, environment })
    if (found !== undefined) return found
  }
  return await ecrCredentials(host, environment)
}

function filesOf(environment: Environment): string[] {
  const home = environment['HOME'] ?? homedir()
  const { DOCKER_CONFIG: docker, REGISTRY_AUTH_FILE: own, XDG_RUNTIME_DIR: runtime, XDG_CONFIG_HOME: config } = environment
  return [
    join(docker ?? join(home, '.docker'), 'config.json'),
    own,
    runtime === undefined ? undefined : join(runtime, 'containers', 'auth.json'),
    join(config ?? join(home, '.config'), 'containers', 'auth.json'),
  ].filter((path) => path !== undefined && path !== '') as string[]
}

async function readAuthFile(path: string): Promise<AuthFile | undefined> {
  const bytes = await readFile(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined
    throw new SlipwayError('SLW_CONFIG_INVALID', `the credentials for registries in ${path} cannot be read: ${error.message}`)
  })
  if (bytes === undefined) return undefined
  try {
    if (bytes.length > FILE_BYTES_MAX) throw new Error()
    const value = JSON.parse(bytes.toString('utf8')) as AuthFile | null
    if (typeof value !== 'object' || value === null) throw new Error()
    return value
  } catch {
    // The error of the parser may quote a password.
    throw new SlipwayError('SLW_CONFIG_INVALID', `${path} holds credentials for registries, and is no JSON object of at most 1 MiB`)
  }
}

interface Looked {
  readonly path: string
  readonly host: string
  readonly repository: string
  readonly environment: Environment
}

async function credentialsIn(file: AuthFile, { path, host, repository, environment }: Looked): Promise<Credentials | undefined> {
  const key = host === 'docker.io' ? HUB_KEY : host
  const helper = file.credHelpers?.[host] ?? file.credHelpers?.[key] ?? file.credsStore
  if (typeof helper === 'string' && helper !== '') {
    const found = await askHelper(helper, key, environment)
    if (found !== undefined) return found
  }
  for (const name of keysOf(host, repository)) {
    const entry = file.auths?.[name]
    if (entry === undefined || entry === null) continue
    if (typeof entry.identitytoken === 'string' && entry.identitytoken !== '') return { identityToken: entry.identitytoken }
    if (typeof entry.auth !== 'string' || entry.auth === '') continue
    const [, username, password] = /^([^:]+):([^]*)$/.exec(Buffer.from(entry.auth, 'base64').toString('utf8')) ?? []
    if (username === undefined || password === undefined)
      throw new SlipwayError('SLW_CONFIG_INVALID', `${path}: "auth" of ${name} is no NAME:PASSWORD in base64; sign in anew`)
    return { username, password }
  }
  return undefined
}

/** From the most exact to the host; Docker also writes hosts as addresses. */
function keysOf(host: string, repository: string): string[] {
  const parts = repository.split('/')
  const scopes = parts.map((_, index) => `${host}/${parts.slice(0, parts.length - index).join('/')}`)
  const hub = host === 'docker.io' ? [HUB_KEY, 'index.docker.io'] : []
  return [
    ...scopes,
    host,
    ...hub,
    ...['https://', 'http://'].flatMap((scheme) => ['', '/', '/v1/', '/v2/'].map((end) => `${scheme}${host}${end}`)),
  ]
}

/** https://github.com/docker/docker-credential-helpers: `docker-credential-NAME get`, the address on standard input. */
async function askHelper(name: string, address: string, environment: Environment): Promise<Credentials | undefined> {
  const program = `docker-credential-${name}`
  const fail = (why: string): SlipwayError =>
    new SlipwayError('SLW_SECRET_UNAVAILABLE', `${program}, which keeps the credentials for ${address}, gave none: ${why}`)
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name))
    throw new SlipwayError('SLW_CONFIG_INVALID', `${JSON.stringify(name)} is no name of a credential helper`)
  const { code, text } = await runHelper(program, address, environment).catch((error: unknown) => {
    throw fail(`${messageOf(error)}; is it on the PATH?`)
  })
  if (code !== 0) {
    if (text.includes(NOT_FOUND)) return undefined
    throw fail(`it ended with ${code}`)
  }
  let answer: { readonly Username?: unknown; readonly Secret?: unknown }
  try {
    answer = JSON.parse(text) as typeof answer
  } catch {
    throw fail('its answer is no JSON')
  }
  const { Username: username, Secret: secret } = answer
  if (typeof username !== 'string' || typeof secret !== 'string') throw fail('its answer has no Username and Secret')
  if (username === '' && secret === '') return undefined
  return username === '<token>' ? { identityToken: secret } : { username, password: secret }
}

async function runHelper(program: string, input: string, environment: Environment): Promise<{ code: number | null; text: string }> {
  return await new Promise((resolve, reject) => {
    const child = spawn(program, ['get'], {
      env: { ...environment },
      stdio: ['pipe', 'pipe', 'ignore'],
      signal: AbortSignal.timeout(HELPER_MS_MAX),
    })
    let text = ''
    child.once('error', reject)
    child.stdin.on('error', () => {
      // A helper that reads nothing says by its end what is wrong.
    })
    child.stdout.setEncoding('utf8').on('data', (part: string) => {
      text += part
      if (text.length > HELPER_BYTES_MAX) child.kill()
    })
    child.once('close', (code) => resolve({ code, text }))
    child.stdin.end(`${input}\n`)
  })
}
