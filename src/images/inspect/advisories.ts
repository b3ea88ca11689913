import { createReadStream } from 'node:fs'
import { opendir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { SlipwayError } from '../../core/errors.ts'
import { zipFiles } from './zip.ts'
import type { Advisory, Affected } from './osv.ts'

/** Advisories about packages that are asked for, and of which database they are. */
export interface Advisories {
  readonly path: string
  /** Of all that the database has. */
  readonly count: number
  /** When the newest of them was changed. */
  readonly newest: string | undefined
  /** By ecosystem and name, `npm lodash`, `Debian:13 openssl`. */
  readonly about: ReadonlyMap<string, readonly { readonly advisory: Advisory; readonly affected: Affected }[]>
}

const FILE_BYTES_MAX = 64 * 1024 ** 2
const FILES_MAX = 4_000_000

/**
 * Reads a database of advisories in the OSV format: a folder of JSON files, a ZIP archive of them (as OSV publishes for each ecosystem), a
 * file of one JSON document a line, or a list of them.
 * @param isWanted by ecosystem and name; all others are read and let go
 * @throws SLW_PATH_NOT_FOUND; SLW_CONFIG_INVALID for what is none, or has not one advisory
 */
export async function readAdvisories(path: string, isWanted: (key: string) => boolean): Promise<Advisories> {
  const about = new Map<string, { advisory: Advisory; affected: Affected }[]>()
  let count = 0
  let newest: string | undefined
  for await (const { name, text } of documents(path)) {
    for (const advisory of parsed(text, name)) {
      count++
      if (advisory.modified !== undefined && (newest === undefined || advisory.modified > newest)) newest = advisory.modified
      if (advisory.withdrawn !== undefined) continue
      for (const affected of advisory.affected ?? []) {
        const key = `${affected.package?.ecosystem} ${affected.package?.name}`
        if (!isWanted(key)) continue
        const known = about.get(key)
        if (known === undefined) about.set(key, [{ advisory, affected }])
        else known.push({ advisory, affected })
      }
    }
  }
  if (count === 0)
    throw new SlipwayError(
      'SLW_CONFIG_INVALID',
      `${path} has not one advisory: expected JSON files in the OSV format, a ZIP archive of them, or one a line`,
    )
  return { path, count, newest, about }
}

async function* documents(path: string): AsyncGenerator<{ readonly name: string; readonly text: string }> {
  const found = await stat(path).catch(() => {
    throw new SlipwayError('SLW_PATH_NOT_FOUND', `${path}: no such database of advisories`)
  })
  if (found.isDirectory()) {
    let count = 0
    for await (const entry of await opendir(path, { recursive: true })) {
      if (entry.isFile() && /\.(?:zip|ndjson|jsonl)$/.test(entry.name)) yield* documents(join(entry.parentPath, entry.name))
      if (!entry.isFile() || !entry.name.endsWith('.json')) continue
      if (++count > FILES_MAX) throw new SlipwayError('SLW_LIMIT_EXCEEDED', `${path} has more than ${FILES_MAX} files`)
      const name = join(entry.parentPath, entry.name)
      yield { name, text: await readSmall(name) }
    }
  } else if (path.endsWith('.zip')) {
    for await (const { name, bytes } of zipFiles(path, (each) => each.endsWith('.json')))
      yield { name: `${path}: ${name}`, text: bytes.toString('utf8') }
  } else if (/\.(ndjson|jsonl)$/.test(path)) {
    let line = 0
    for await (const text of createInterface({ input: createReadStream(path), crlfDelay: Infinity })) {
      line++
      if (text.trim() !== '') yield { name: `${path}:${line}`, text }
    }
  } else yield { name: path, text: await readSmall(path) }
}

async function readSmall(path: string): Promise<string> {
  const { size } = await stat(path)
  if (size > FILE_BYTES_MAX) throw new SlipwayError('SLW_LIMIT_EXCEEDED', `${path} has ${size} bytes; ${FILE_BYTES_MAX} are read`)
  return await readFile(path, 'utf8')
}

function parsed(text: string, name: string): Advisory[] {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new SlipwayError('SLW_CONFIG_INVALID', `${name} is no JSON; expected an advisory in the OSV format`)
  }
  return (Array.isArray(value) ? value : [value]).map((each: unknown) => {
    const { id, affected } = (each ?? {}) as Partial<Advisory>
    if (typeof id !== 'string' || (affected !== undefined && !Array.isArray(affected)))
      throw new SlipwayError('SLW_CONFIG_INVALID', `${name} is no advisory in the OSV format: it has no id, or "affected" is no list`)
    return each as Advisory
  })
}
