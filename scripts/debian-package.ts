/**
 * Debian packages for the tests that need somebody else's program: installed when it is missing and we are root.
 *
 *     prometheus=$(scripts/node scripts/debian-package.ts prometheus)
 */
import { accessSync, chmodSync, constants, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { runTool } from './python-env.ts'

/** Where servers of Debian live; not always on the PATH. */
const SYSTEM_FOLDERS = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin']
/** Where Debian puts the programs of PostgreSQL's server, not on the PATH, as several versions can be there. */
const POSTGRES_FOLDER = '/usr/lib/postgresql'
/** What maintainer scripts call to start and enable services. */
const SERVICE_TOOLS = ['invoke-rc.d', 'update-rc.d', 'deb-systemd-invoke', 'deb-systemd-helper', 'systemctl']
/** Another installation may be running: waits this long for it. */
const LOCK_SECONDS = 300

/**
 * Makes sure that a program is there.
 * @param packageName the Debian package that brings it; default: of the same name
 * @returns the path of the program
 * @throws when it is missing and cannot be installed, naming the command that would
 */
export async function debianBinary(name: string, packageName: string = name): Promise<string> {
  return await installed(name, packageName, () => findProgram(name))
}

/**
 * Makes sure that a shared library is there, where the dynamic linker looks.
 * @returns its path. @throws as {@link debianBinary}
 */
export async function debianLibrary(file: string, packageName: string): Promise<string> {
  const folders = ['/usr/local/lib', '/usr/lib', '/lib']
  const all = folders.flatMap((folder) => [folder, join(folder, `${MACHINES[process.arch] ?? process.arch}-linux-gnu`)])
  return await installed(file, packageName, () => all.map((folder) => join(folder, file)).find((path) => existsSync(path)))
}

/** Names of architectures in the folders of libraries. */
const MACHINES: Readonly<Record<string, string>> = { x64: 'x86_64', arm64: 'aarch64' }

async function installed(name: string, packageName: string, find: () => string | undefined): Promise<string> {
  const found = find()
  if (found !== undefined) return found
  const byHand = `apt-get install --no-install-recommends ${packageName}`
  if (findProgram('apt-get') === undefined)
    throw new Error(`${name} is not installed, and this is no Debian that could install it: ${byHand}`)
  if (process.getuid?.() !== 0) throw new Error(`${name} is not installed, and only root can: ${byHand}`)
  console.error(`debian-package: installing ${packageName}`)
  await install(packageName)
  const brought = find()
  if (brought === undefined) throw new Error(`the package ${packageName} was installed and brought no ${name}`)
  return brought
}

/** Installs without starting or enabling what the package brings as a service: the tools that would are covered meanwhile. */
async function install(packageName: string): Promise<void> {
  const covers = mkdtempSync(join(tmpdir(), 'slipway-apt-'))
  try {
    for (const tool of SERVICE_TOOLS) {
      writeFileSync(join(covers, tool), '#!/bin/sh\nexit 0\n')
      chmodSync(join(covers, tool), 0o755)
    }
    const settings = ['-o', `DPkg::Lock::Timeout=${LOCK_SECONDS}`, '-o', `DPkg::Path=${[covers, ...SYSTEM_FOLDERS].join(delimiter)}`]
    const args = ['install', '--yes', '--quiet', '--no-install-recommends', ...settings, packageName]
    const apt = (...rest: readonly string[]): Promise<void> => runTool('env', ['DEBIAN_FRONTEND=noninteractive', 'apt-get', ...rest])
    // The lists may be missing or older than the archive: then, and only then, they are fetched.
    await apt(...args).catch(async () => {
      await apt('update', '--quiet')
      await apt(...args)
    })
  } finally {
    rmSync(covers, { recursive: true, force: true })
  }
}

function findProgram(name: string): string | undefined {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), ...SYSTEM_FOLDERS, ...postgresFolders()]
  return folders
    .filter((folder) => folder !== '')
    .map((folder) => join(folder, name))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK)
        return true
      } catch {
        return false
      }
    })
}

/** The newest version first. */
function postgresFolders(): string[] {
  if (!existsSync(POSTGRES_FOLDER)) return []
  const versions = readdirSync(POSTGRES_FOLDER).toSorted((a, b) => Number(b) - Number(a))
  return versions.map((version) => join(POSTGRES_FOLDER, version, 'bin'))
}

if (import.meta.main) {
  const [name, packageName, ...rest] = process.argv.slice(2)
  try {
    if (name === undefined || rest.length > 0) throw new Error('give the name of a program, and of its package where that is another')
    console.log(await debianBinary(name, packageName))
  } catch (error) {
    console.error(`debian-package: ${error instanceof Error ? error.message : String(error)}`)
    process.exitCode = 1
  }
}
