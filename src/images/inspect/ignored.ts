import { readFile } from 'node:fs/promises'
import { Type } from 'typebox'
import { inputInvalid, SlipwayError } from '../../core/errors.ts'
import { readYaml } from '../../contract/read-yaml.ts'
import type { Static } from 'typebox'

const IgnoredDocument = Type.Object(
  {
    ignore: Type.Array(
      Type.Object(
        {
          id: Type.String({ minLength: 1, description: 'Of the advisory, or one of its other names: CVE-2026-1234, GHSA-...' }),
          package: Type.Optional(Type.String({ description: 'Only of this package. Default: of any.' })),
          reason: Type.String({ minLength: 1, description: 'Why it does no harm here.' }),
          expires: Type.String({ pattern: '^\\d{4}-\\d{2}-\\d{2}$', description: 'The last day on which it does not count.' }),
        },
        { additionalProperties: false },
      ),
      { maxItems: 10_000 },
    ),
  },
  { additionalProperties: false },
)

/** A vulnerability that somebody has decided to live with, why, and until when (`2027-01-31`). */
export type Ignored = Static<typeof IgnoredDocument>['ignore'][number]

/** Reads a file of what does not count. @throws SLW_PATH_NOT_FOUND; SLW_CONFIG_INVALID naming lines */
export async function readIgnored(path: string): Promise<readonly Ignored[]> {
  const text = await readFile(path, 'utf8').catch(() => {
    throw new SlipwayError('SLW_PATH_NOT_FOUND', `${path}: no such file of findings to ignore`)
  })
  const read = readYaml(text, IgnoredDocument)
  if ('issues' in read)
    throw inputInvalid(
      read.issues.map(({ path: at, line, message }) => ({ path: `${path}:${line}`, message: at === '' ? message : `${at}: ${message}` })),
      'SLW_CONFIG_INVALID',
    )
  const { ignore } = read.value
  const bad = ignore.find(({ expires }) => Number.isNaN(Date.parse(expires)))
  if (bad !== undefined) throw new SlipwayError('SLW_CONFIG_INVALID', `${path}: ${bad.expires}, when ${bad.id} expires, is no day`)
  return ignore
}
