import { open, readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { SlipwayError } from '../../core/errors.ts'
import { NODE_CPUS } from './dependencies.ts'
import { bytesFile } from './files.ts'
import type { Platform } from '../oci.ts'
import type { ImageFile } from './files.ts'

/** Where Node lies in an image. */
export const NODE_PATH = 'usr/local/bin/node'
/** Machines in the header of an ELF file (System V ABI, "e_machine"). */
const MACHINES: Readonly<Record<number, string>> = { 62: 'amd64', 183: 'arm64' }

/**
 * The program of Node for a platform: the one that was named, the one that runs here, or that of an npm package `node-linux-CPU`
 * beside Slipway.
 * @param given paths of programs; each is taken for the platform that it is built for
 * @throws SLW_DEPENDENCY_MISSING naming how it is had
 */
export async function nodeFiles(platform: Platform, root: string, given: readonly string[]): Promise<readonly ImageFile[]> {
  const cpu = NODE_CPUS[platform.architecture] ?? platform.architecture
  const candidates = [...given, process.execPath, join(root, `node_modules/node-linux-${cpu}/bin/node`)]
  for (const [at, file] of candidates.entries()) {
    const found = await stat(file).catch(() => undefined)
    const machine = found === undefined ? undefined : await machineOf(file)
    if (at < given.length && machine === undefined)
      throw new SlipwayError('SLW_USAGE', `--node ${file}: ${found === undefined ? 'no such file' : 'no program for Linux'}`)
    if (found !== undefined && machine === platform.architecture)
      return [{ path: NODE_PATH, mode: 0o755, content: { kind: 'file', file, size: found.size } }, ...(await licence(file))]
  }
  const { version } = process
  throw new SlipwayError(
    'SLW_DEPENDENCY_MISSING',
    `no Node for linux/${platform.architecture} is here: npm pack node-linux-${cpu}@${version.slice(1)} brings one, whose bin/node is given by --node`,
  )
}

async function machineOf(file: string): Promise<string | undefined> {
  await using handle = await open(file)
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(20), 0, 20, 0)
  return bytesRead === 20 && buffer.readUInt32BE() === 0x7f454c46 ? MACHINES[buffer.readUInt16LE(18)] : undefined
}

/** Beside bin/, in what Node distributes. */
async function licence(node: string): Promise<readonly ImageFile[]> {
  const folder = join(node, '../..')
  const names: string[] = await readdir(folder).catch(() => [])
  return names.includes('LICENSE') && names.includes('bin')
    ? [bytesFile('usr/local/share/doc/node/LICENSE', await readFile(join(folder, 'LICENSE')))]
    : []
}
