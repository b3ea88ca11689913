import { execFile } from 'node:child_process'
import { access, constants } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { SlipwayError } from '../../core/errors.ts'
import { severityNamed } from './cvss.ts'
import { worstFirst } from './scan.ts'
import type { Finding, ScanResult } from './scan.ts'

/** Scanners of others, which are asked where they are installed. */
export type OtherScanner = 'trivy' | 'grype'

export const OTHER_SCANNERS: readonly OtherScanner[] = ['trivy', 'grype']

const OUTPUT_MAX = 256 * 1024 ** 2
const TIMEOUT_MS = 15 * 60_000
/** What is shown of what a scanner says went wrong. */
const COMPLAINT_MAX = 500

/** @returns the path of a program, undefined where it is in no folder of the PATH */
export async function findScanner(name: OtherScanner, path: string = process.env['PATH'] ?? ''): Promise<string | undefined> {
  for (const folder of path.split(delimiter)) {
    if (folder === '') continue
    const file = join(folder, name)
    const isThere = await access(file, constants.X_OK).then(
      () => true,
      () => false,
    )
    if (isThere) return file
  }
  return undefined
}

/**
 * Runs a scanner on an OCI layout of one image, with the database that it has: it fetches none.
 * @param program its path. @param layout a folder
 * @throws SLW_DEPENDENCY_MISSING where it has no database or fails otherwise, with what it says; SLW_ANSWER_INVALID; SLW_RUN_TIMEOUT after 15 minutes
 */
export async function runScanner(name: OtherScanner, program: string, layout: string): Promise<ScanResult> {
  return name === 'trivy' ? await runTrivy(program, layout) : await runGrype(program, layout)
}

async function runTrivy(program: string, layout: string): Promise<ScanResult> {
  const offline = ['--skip-db-update', '--skip-java-db-update', '--skip-version-check', '--offline-scan']
  const text = await told('trivy', program, [
    'image',
    '--input',
    layout,
    '--format',
    'json',
    '--no-progress',
    '--scanners',
    'vuln',
    ...offline,
  ])
  const about = await told('trivy', program, ['version', '--format', 'json'])
  return trivyResult(text, about)
}

async function runGrype(program: string, layout: string): Promise<ScanResult> {
  return grypeResult(await told('grype', program, [`oci-dir:${layout}`, '--output', 'json']))
}

/** Settings by which Grype asks nobody outside. */
const GRYPE_OFFLINE = { GRYPE_DB_AUTO_UPDATE: 'false', GRYPE_CHECK_FOR_APP_UPDATE: 'false' }

function told(name: OtherScanner, program: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { maxBuffer: OUTPUT_MAX, timeout: TIMEOUT_MS, env: { ...process.env, ...GRYPE_OFFLINE } }
    execFile(program, args, options, (error, stdout, stderr) => {
      if (error === null) resolve(stdout)
      else if (error.killed === true)
        reject(new SlipwayError('SLW_RUN_TIMEOUT', `${name} has not ended after ${TIMEOUT_MS / 60_000} minutes`))
      else {
        const complaint = stderr.trim().slice(-COMPLAINT_MAX)
        const update = name === 'trivy' ? 'trivy image --download-db-only' : 'grype db update'
        reject(
          new SlipwayError(
            'SLW_DEPENDENCY_MISSING',
            `${name} failed, so that nothing is known of the image: ${complaint || error.message}\nIts database is not fetched by this command; ${update} does. Or look the packages up in advisories of your own: --scanner own --database FILE`,
          ),
        )
      }
    })
  })
}

interface TrivyReport {
  readonly SchemaVersion?: number
  readonly Results?: readonly {
    readonly Target?: string
    readonly Type?: string
    readonly Class?: string
    readonly Vulnerabilities?: readonly {
      readonly VulnerabilityID?: string
      readonly VendorIDs?: readonly string[]
      readonly PkgName?: string
      readonly PkgPath?: string
      readonly InstalledVersion?: string
      readonly FixedVersion?: string
      readonly Severity?: string
      readonly Title?: string
      readonly Description?: string
    }[]
  }[]
}

/**
 * Reads the report of `trivy image --format json` (its SchemaVersion 2, pkg/types/report.go), and of `trivy version --format json`.
 * @throws SLW_ANSWER_INVALID
 */
export function trivyResult(report: string, about: string): ScanResult {
  const read = parsed<TrivyReport>(report, 'trivy')
  if (read.SchemaVersion !== 2)
    throw new SlipwayError('SLW_ANSWER_INVALID', `trivy answered with a report of schema ${read.SchemaVersion}; expected 2`)
  const { Version, VulnerabilityDB } = parsed<{ readonly Version?: string; readonly VulnerabilityDB?: { readonly UpdatedAt?: string } }>(
    about,
    'trivy',
  )
  const findings = (read.Results ?? []).flatMap(({ Target, Type, Vulnerabilities = [] }) =>
    Vulnerabilities.map((one): Finding => ({
      id: one.VulnerabilityID ?? '',
      aliases: one.VendorIDs ?? [],
      severity: severityNamed(one.Severity) ?? 'unknown',
      package: one.PkgName ?? '',
      version: one.InstalledVersion ?? '',
      type: Type ?? '',
      fixed: one.FixedVersion === undefined || one.FixedVersion === '' ? undefined : one.FixedVersion,
      summary: one.Title ?? one.Description?.split('\n')[0]?.slice(0, 200) ?? '',
      path: one.PkgPath ?? Target,
    })),
  )
  return {
    scanner: { name: 'trivy', version: Version },
    database: { path: undefined, built: VulnerabilityDB?.UpdatedAt, count: undefined },
    packages: undefined,
    findings: worstFirst(findings),
  }
}

interface GrypeReport {
  readonly matches?: readonly {
    readonly vulnerability?: {
      readonly id?: string
      readonly severity?: string
      readonly description?: string
      readonly fix?: { readonly versions?: readonly string[] | null }
    }
    readonly relatedVulnerabilities?: readonly { readonly id?: string }[] | null
    readonly artifact?: {
      readonly name?: string
      readonly version?: string
      readonly type?: string
      readonly locations?: readonly { readonly path?: string }[] | null
    }
  }[]
  readonly descriptor?: {
    readonly version?: string
    /** Since schema 6 the state is in a field of its own. */
    readonly db?: { readonly built?: string; readonly status?: { readonly built?: string; readonly path?: string } } | null
  }
}

/** Reads the report of `grype --output json` (grype/presenter/models/document.go). @throws SLW_ANSWER_INVALID */
export function grypeResult(report: string): ScanResult {
  const { matches, descriptor } = parsed<GrypeReport>(report, 'grype')
  if (!Array.isArray(matches)) throw new SlipwayError('SLW_ANSWER_INVALID', 'grype answered with a report that has no "matches"')
  const all = matches as NonNullable<GrypeReport['matches']>
  const findings = all.map(({ vulnerability, artifact, relatedVulnerabilities }): Finding => ({
    id: vulnerability?.id ?? '',
    aliases: (relatedVulnerabilities ?? []).flatMap(({ id }) => (id === undefined || id === vulnerability?.id ? [] : [id])),
    severity: severityNamed(vulnerability?.severity) ?? 'unknown',
    package: artifact?.name ?? '',
    version: artifact?.version ?? '',
    type: artifact?.type ?? '',
    fixed: vulnerability?.fix?.versions?.[0],
    summary: vulnerability?.description?.split('\n')[0]?.slice(0, 200) ?? '',
    path: artifact?.locations?.[0]?.path,
  }))
  return {
    scanner: { name: 'grype', version: descriptor?.version },
    database: { path: descriptor?.db?.status?.path, built: descriptor?.db?.status?.built ?? descriptor?.db?.built, count: undefined },
    packages: undefined,
    findings: worstFirst(findings),
  }
}

function parsed<T extends object>(text: string, name: OtherScanner): T {
  try {
    const value = JSON.parse(text) as T | null
    if (typeof value === 'object' && value !== null) return value
  } catch {
    // Said below.
  }
  throw new SlipwayError('SLW_ANSWER_INVALID', `${name} answered with no JSON: ${JSON.stringify(text.slice(0, 100))}`)
}
