/**
 * Python environments for the scripts that need one: training the examples, the conformance clients, the benchmark.
 * Each is a venv outside the tree, named after its requirements, so that it is made once and made anew when they change.
 *
 *     python=$(scripts/node scripts/python-env.ts train)
 */
import { execFile, spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join, parse } from 'node:path'
import { promisify } from 'node:util'

const UV_VERSION = '0.13.8'
/** The pinned releases of numpy, pandas and scikit-learn need it. */
const OLDEST_PYTHON = [3, 11] as const
const REQUIREMENTS_FOLDER = join(import.meta.dirname, 'python')
const BUILDING = '.building-'
/** Longer than any build takes: what is older was left by one that was killed. */
const ABANDONED_AFTER_MS = 24 * 60 * 60 * 1000

/** The folder for what is made once and kept outside the tree. */
export function cacheFolder(): string {
  const { SLIPWAY_CACHE: own, XDG_CACHE_HOME: shared } = process.env
  if (own !== undefined && own !== '') return own
  return join(shared !== undefined && shared !== '' ? shared : join(homedir(), '.cache'), 'slipway')
}

/**
 * Makes sure that the environment of `scripts/python/<name>.txt` or `.lock` exists; the first call installs it, which takes minutes.
 * A lock names every package, and nothing is installed but what it names.
 * @returns the path of its `python`
 */
export async function pythonEnv(name: string): Promise<string> {
  const files = await readdir(REQUIREMENTS_FOLDER)
  const file = files.find((each) => each === `${name}.txt` || each === `${name}.lock`)
  if (file === undefined)
    throw new Error(`there is no Python environment "${name}"; known are ${files.map((each) => parse(each).name).join(', ')}`)
  const requirements = join(REQUIREMENTS_FOLDER, file)
  const text = await readFile(requirements)
  const digest = createHash('sha256').update(text).digest('hex').slice(0, 12)
  const venv = join(cacheFolder(), `venv-${name}-${digest}`)
  return await obtain(venv, join('bin', 'python'), async (folder) => {
    const found = await systemPython()
    const uv = await uvTool(found)
    // A package that brings an interpreter of its own needs the libraries of that very release.
    const python = /^# python: (\S+)$/m.exec(text.toString('utf8'))?.[1] ?? found
    if (!existsSync(python)) throw new Error(`the environment "${name}" needs ${python} (on Debian: apt-get install python3)`)
    // Relocatable, because the folder is renamed once it is complete. Quiet, because what goes wrong is still said.
    await runTool(uv, ['venv', '--quiet', '--relocatable', '--no-python-downloads', '--python', python, folder])
    const into = ['--quiet', '--python', join(folder, 'bin', 'python')]
    const how = file.endsWith('.lock') ? ['sync', ...into, requirements] : ['install', ...into, '--requirements', requirements]
    await runTool(uv, ['pip', ...how])
  })
}

/** uv installs in seconds what takes pip minutes. */
async function uvTool(python: string): Promise<string> {
  return await obtain(join(cacheFolder(), 'uv'), join('bin', 'uv'), async (folder) => {
    await runTool(python, ['-m', 'venv', folder])
    await runTool(join(folder, 'bin', 'python'), ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', `uv==${UV_VERSION}`])
  })
}

/**
 * The `file` in `folder`, which `build` fills if need be. It is filled under another name and renamed when complete: a
 * killed build leaves nothing that looks whole, and of two builds at once the first to finish gives both their result.
 */
export async function obtain(folder: string, file: string, build: (folder: string) => Promise<void>): Promise<string> {
  const wanted = join(folder, file)
  if (existsSync(wanted)) return wanted
  await mkdir(cacheFolder(), { recursive: true })
  await removeAbandoned()
  const own = join(cacheFolder(), `${BUILDING}${process.pid}-${randomBytes(4).toString('hex')}`)
  console.error(`making ${folder}`)
  try {
    // There without its file: a venv whose Python was since removed from the system. It stands in the way of the new one.
    if (existsSync(folder) && !existsSync(wanted)) await rename(folder, `${own}-old`).catch(ignore('ENOENT'))
    await build(own)
    if (!existsSync(join(own, file))) throw new Error(`the installation ended without ${file}`)
    await rename(own, folder).catch(ignore('ENOTEMPTY', 'EEXIST'))
  } finally {
    await rm(own, { recursive: true, force: true })
    await rm(`${own}-old`, { recursive: true, force: true })
  }
  return wanted
}

/** For the errors that say that another process was faster. */
function ignore(...codes: readonly string[]): (error: NodeJS.ErrnoException) => void {
  return (error) => {
    if (error.code === undefined || !codes.includes(error.code)) throw error
  }
}

async function removeAbandoned(): Promise<void> {
  for (const entry of await readdir(cacheFolder())) {
    if (!entry.startsWith(BUILDING)) continue
    const path = join(cacheFolder(), entry)
    const found = await stat(path).catch(() => undefined)
    if (found !== undefined && Date.now() - found.mtimeMs > ABANDONED_AFTER_MS) await rm(path, { recursive: true, force: true })
  }
}

/** The `python3` of the system, checked for its version and for the module that makes the first venv. */
async function systemPython(): Promise<string> {
  const needed = `Python ${OLDEST_PYTHON.join('.')} or newer is needed as python3`
  const question = 'import sys; print(sys.executable, *sys.version_info[:3], sep="\\n"); import venv, ensurepip'
  const { stdout, stderr } = await promisify(execFile)('python3', ['-c', question]).catch(
    (error: NodeJS.ErrnoException & { stdout?: string; stderr?: string }) => {
      if (error.code === 'ENOENT') throw new Error(`${needed}, and there is no python3 on the PATH`)
      return { stdout: error.stdout ?? '', stderr: error.stderr ?? error.message }
    },
  )
  const [executable = '', major, minor] = stdout.split('\n')
  if (executable === '') throw new Error(`${needed}, and the one on the PATH does not run: ${stderr.trim()}`)
  if (Number(major) !== OLDEST_PYTHON[0] || Number(minor) < OLDEST_PYTHON[1])
    throw new Error(`${needed}, and ${executable} is ${major}.${minor}`)
  if (stderr !== '') throw new Error(`${executable} has no venv module (on Debian: apt-get install python3-venv): ${stderr.trim()}`)
  return executable
}

/** Runs a command; all it says goes to stderr, because stdout is for the answer. */
export async function runTool(command: string, args: readonly string[]): Promise<void> {
  const child = spawn(command, args, { stdio: ['ignore', 2, 2] })
  const end = await new Promise<number | NodeJS.Signals | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => resolve(code ?? signal))
  })
  if (end !== 0) throw new Error(`this ended with ${end}: ${[command, ...args].join(' ')}`)
}

if (import.meta.main) {
  const [name, ...rest] = process.argv.slice(2)
  try {
    if (name === undefined || rest.length > 0)
      throw new Error('give the name of one environment: a file of scripts/python without its ending')
    console.log(await pythonEnv(name))
  } catch (error) {
    console.error(`python-env: ${error instanceof Error ? error.message : String(error)}`)
    process.exitCode = 1
  }
}
