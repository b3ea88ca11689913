import { execFile, spawn } from 'node:child_process'
import { chown, realpath } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { Client } from 'pg'
import { debianBinary } from '../../scripts/debian-package.ts'
import { POSTGRES } from '../../scripts/prerequisites.ts'
import { temporaryFolder } from '../temporary-folder.ts'

/** Servers of a test need not outlive a loss of power, and a deadlock shall be found soon. */
const SETTINGS = [
  'listen_addresses=',
  'fsync=off',
  'full_page_writes=off',
  'shared_buffers=16MB',
  'max_connections=200',
  'deadlock_timeout=100ms',
]
/** People's databases sort text by a language and not by bytes, and so does this. */
const LOCALE = ['--encoding=UTF8', '--locale=C.UTF-8', '--locale-provider=icu', '--icu-locale=en-US']

/** The databases of a server. */
export interface PostgresDatabases {
  /** Makes a database that is a copy of `template`. @returns its URL */
  createDatabase(name: string, template?: string): Promise<string>
  urlOf(database: string): string
}

/** A PostgreSQL server on a Unix socket in a temporary folder; `await using` stops it and removes the folder. */
export interface PostgresServer extends PostgresDatabases, AsyncDisposable {
  /** Where its socket is. */
  readonly folder: string
  /** Ends the server as the kernel would, or in order; `start` starts it again on the same data. */
  stop(signal: 'SIGQUIT' | 'SIGINT'): Promise<void>
  start(): Promise<void>
}

/** Installs PostgreSQL where it is missing. As root, it runs as the user postgres, because it refuses root. */
export async function startPostgres(): Promise<PostgresServer> {
  await using stack = new AsyncDisposableStack()
  const programs = dirname(await realpath(await debianBinary(...POSTGRES)))
  const folder = stack.use(await temporaryFolder())
  const user = await serverUser()
  if (user !== undefined) await chown(folder.path, user.uid, user.gid)
  const run = async (program: string, args: readonly string[]): Promise<void> => {
    await promisify(execFile)(join(programs, program), args, { cwd: folder.path, ...user })
  }
  const data = join(folder.path, 'data')
  await run('initdb', ['--pgdata', data, '--username=postgres', '--auth=trust', '--no-sync', ...LOCALE])

  let server: Awaited<ReturnType<typeof spawnServer>> | undefined
  const start = async (): Promise<void> => {
    const settings = [...SETTINGS, `unix_socket_directories=${folder.path}`].flatMap((setting) => ['-c', setting])
    server = await spawnServer(join(programs, 'postgres'), ['-D', data, ...settings], { cwd: folder.path, ...user })
  }
  stack.defer(async () => server?.end('SIGQUIT'))
  await start()
  const owned = stack.move()
  return {
    ...databasesOf(folder.path),
    folder: folder.path,
    start,
    stop: async (signal) => server?.end(signal),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

/** @param folder of the socket of a server that runs */
export function databasesOf(folder: string): PostgresDatabases {
  const urlOf = (database: string): string => `postgres://postgres@/${database}?host=${encodeURIComponent(folder)}`
  return {
    urlOf,
    async createDatabase(name, template = 'template0') {
      const client = new Client({ connectionString: urlOf('postgres') })
      await client.connect()
      try {
        await client.query(`create database ${name} template ${template}`)
      } finally {
        await client.end()
      }
      return urlOf(name)
    },
  }
}

interface SpawnOptions {
  readonly cwd: string
  readonly uid?: number
  readonly gid?: number
}

/** Starts the server and waits until it lets clients in. */
async function spawnServer(
  program: string,
  args: readonly string[],
  options: SpawnOptions,
): Promise<{ end(signal: NodeJS.Signals): Promise<void> }> {
  const child = spawn(program, args, { ...options, stdio: ['ignore', 'ignore', 'pipe'] })
  const kill = (): void => void child.kill('SIGQUIT')
  process.once('exit', kill)
  const exited = new Promise<void>((resolve) => {
    child.once('exit', () => {
      process.off('exit', kill)
      resolve()
    })
  })
  let said = ''
  await new Promise<void>((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code) => reject(new Error(`PostgreSQL ended with ${code}: ${said}`)))
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(-10_000)
      if (said.includes('ready to accept connections')) resolve()
    })
  })
  return {
    async end(signal) {
      child.kill(signal)
      await exited
    },
  }
}

async function serverUser(): Promise<{ uid: number; gid: number } | undefined> {
  if (process.getuid?.() !== 0) return undefined
  const id = async (flag: string): Promise<number> => Number((await promisify(execFile)('id', [flag, 'postgres'])).stdout)
  return { uid: await id('-u'), gid: await id('-g') }
}
