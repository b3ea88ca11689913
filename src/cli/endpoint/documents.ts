import { readFile } from 'node:fs/promises'
import { userInfo } from 'node:os'
import { text } from 'node:stream/consumers'
import { EndpointDocument } from '../../contract/endpoint.ts'
import { formatFileIssues, readYamlDocuments } from '../../contract/read-yaml.ts'
import { SlipwayError } from '../../core/errors.ts'
import type { ManagedBy } from '../../contract/endpoint.ts'

/** The documents of a file, or of standard input (`-`). @throws SLW_CONFIG_INVALID with line and column of everything that is wrong */
export async function readDocuments(path: string): Promise<EndpointDocument[]> {
  const content =
    path === '-'
      ? await text(process.stdin)
      : await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
          throw new SlipwayError('SLW_PATH_NOT_FOUND', `${path} cannot be read: ${error.message}`)
        })
  const read = readYamlDocuments(content, EndpointDocument)
  if ('issues' in read) throw new SlipwayError('SLW_CONFIG_INVALID', formatFileIssues(path, read.issues), { issues: read.issues })
  if (read.value.length === 0) throw new SlipwayError('SLW_CONFIG_INVALID', `${path} has no document`)
  return read.value
}

/** The manager of applied documents: the pipeline that runs this command, else the file, else the person. */
export function managerOf(path: string | undefined, environment: NodeJS.ProcessEnv = process.env): ManagedBy {
  const { CI, CI_JOB_URL, GITHUB_SERVER_URL: server, GITHUB_REPOSITORY: repository, GITHUB_RUN_ID: run, BUILD_URL } = environment
  if (CI !== undefined && CI !== '' && CI !== 'false') {
    const github =
      server !== undefined && repository !== undefined
        ? `${server}/${repository}${run === undefined ? '' : `/actions/runs/${run}`}`
        : undefined
    return { kind: 'ci', name: github ?? CI_JOB_URL ?? BUILD_URL ?? 'CI' }
  }
  return path === undefined || path === '-' ? { kind: 'person', name: personName() } : { kind: 'file', name: path }
}

function personName(): string {
  try {
    return userInfo().username
  } catch {
    return 'unknown'
  }
}
