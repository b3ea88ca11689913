import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { SlipwayError } from '../../core/errors.ts'
import { MANIFEST_LIMITS, readManifests } from '../../kubernetes/lint/read-manifests.ts'
import type { PlacedObject, Unreadable } from '../../kubernetes/lint/read-manifests.ts'

const FILES_MAX = 10_000
const STANDARD_INPUT = '-'
const SKIPPED_FOLDERS = new Set(['node_modules', '.git'])

export interface FilesRead {
  readonly objects: readonly (PlacedObject & { readonly file: string })[]
  readonly unreadable: readonly (Omit<Unreadable, 'isForeign'> & { readonly file: string })[]
  /** Documents that are something else, in folders: values, compose files. */
  readonly foreign: number
  readonly files: number
}

/** Reads manifests of files and folders. @throws SLW_PATH_NOT_FOUND, SLW_LIMIT_EXCEEDED where there are more than 10,000 files or objects */
export async function readFiles(paths: readonly string[]): Promise<FilesRead> {
  const files = (await Promise.all(paths.map(filesOf))).flat()
  if (files.length > FILES_MAX)
    throw new SlipwayError('SLW_LIMIT_EXCEEDED', `there are ${files.length} files, and ${FILES_MAX} at most are checked together`)
  const objects: FilesRead['objects'][number][] = []
  const unreadable: FilesRead['unreadable'][number][] = []
  let foreign = 0
  for (const { path, isNamed, refused } of files) {
    const name = path === STANDARD_INPUT ? 'standard input' : path
    const text = refused === undefined ? await textOf(path) : { message: refused }
    if (typeof text !== 'string') {
      unreadable.push({ file: name, line: 1, column: 1, ...text })
      continue
    }
    const read = readManifests(text)
    objects.push(...read.objects.map((one) => ({ ...one, file: name })))
    for (const { isForeign, ...one } of read.unreadable)
      if (isForeign && !isNamed) foreign++
      else unreadable.push({ file: name, ...one })
    if (objects.length > MANIFEST_LIMITS.objects)
      throw new SlipwayError('SLW_LIMIT_EXCEEDED', `there are more than ${MANIFEST_LIMITS.objects} objects: check fewer files at a time`)
  }
  return { objects, unreadable, foreign, files: files.length }
}

interface Found {
  readonly path: string
  /** Whether the user named it, and did not find it in a folder. */
  readonly isNamed: boolean
  readonly refused?: string
}

async function filesOf(path: string): Promise<Found[]> {
  if (path === STANDARD_INPUT) return [{ path, isNamed: true }]
  const info = await stat(path).catch((error: NodeJS.ErrnoException) => {
    throw new SlipwayError('SLW_PATH_NOT_FOUND', `${path} cannot be read (${error.code ?? error.message})`)
  })
  if (!info.isDirectory()) return [{ path, isNamed: true }]
  const found = await below(path)
  if (found.length === 0) throw new SlipwayError('SLW_PATH_NOT_FOUND', `${path} has no file *.yaml, *.yml or *.json`)
  return found
}

/** Files of a folder and of those in it, in order. Links are not followed: they can lead in circles. */
async function below(folder: string): Promise<Found[]> {
  const entries = (await readdir(folder, { withFileTypes: true })).toSorted((a, b) => (a.name < b.name ? -1 : 1))
  if (entries.some(({ name }) => name === 'Chart.yaml')) {
    const refused = `this is a chart of Helm: check what it makes, \`helm template ${folder} | slipway lint k8s -\``
    return [{ path: join(folder, 'Chart.yaml'), isNamed: false, refused }]
  }
  const found: Found[] = []
  for (const entry of entries) {
    const path = join(folder, entry.name)
    if (entry.isDirectory() && !SKIPPED_FOLDERS.has(entry.name)) found.push(...(await below(path)))
    else if (entry.isFile() && /\.(ya?ml|json)$/i.test(entry.name)) found.push({ path, isNamed: false })
    if (found.length > FILES_MAX) return found
  }
  return found
}

async function textOf(path: string): Promise<string | { readonly message: string }> {
  const tooLarge = { message: `it has more than ${MANIFEST_LIMITS.bytes >> 20} MB: check its parts one by one` }
  try {
    if (path !== STANDARD_INPUT) return (await stat(path)).size > MANIFEST_LIMITS.bytes ? tooLarge : await readFile(path, 'utf8')
    const chunks: Buffer[] = []
    let bytes = 0
    for await (const chunk of process.stdin) {
      bytes += (chunk as Buffer).length
      if (bytes > MANIFEST_LIMITS.bytes) return tooLarge
      chunks.push(chunk as Buffer)
    }
    return Buffer.concat(chunks).toString('utf8')
  } catch (error) {
    return { message: `it cannot be read (${(error as NodeJS.ErrnoException).code ?? String(error)})` }
  }
}
