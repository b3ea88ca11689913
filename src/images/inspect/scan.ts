import { SlipwayError } from '../../core/errors.ts'
import { isAtLeast, SEVERITIES } from './cvss.ts'
import { advisorySeverity, fixedIn, isAffected } from './osv.ts'
import { packageReading, packagesOf } from './packages.ts'
import { readAdvisories } from './advisories.ts'
import { readImage } from './read-image.ts'
import type { BlobSource } from '../oci.ts'
import type { Severity } from './cvss.ts'
import type { FoundImage } from './find-image.ts'
import type { Ignored } from './ignored.ts'
import type { Advisory, Affected } from './osv.ts'
import type { Packages } from './packages.ts'

/** A known vulnerability of a package in an image. */
export interface Finding {
  readonly id: string
  readonly aliases: readonly string[]
  /** What it is made of, by which it can be ignored, too: the CVEs of an advisory of Debian. */
  readonly upstream?: readonly string[]
  readonly severity: Severity
  readonly package: string
  readonly version: string
  /** `npm`, `deb`, or what the scanner calls it. */
  readonly type: string
  /** The lowest version in which it is gone; undefined where there is none. */
  readonly fixed: string | undefined
  readonly summary: string
  /** Where the package lies in the image. */
  readonly path: string | undefined
}

/** What was found, by whom, and with which database. */
export interface ScanResult {
  readonly scanner: { readonly name: 'trivy' | 'grype' | 'slipway'; readonly version: string | undefined }
  readonly database: { readonly path: string | undefined; readonly built: string | undefined; readonly count: number | undefined }
  /** How many packages were looked up; undefined where the scanner does not say. */
  readonly packages: number | undefined
  readonly findings: readonly Finding[]
}

interface Wanted {
  readonly ecosystem: 'npm' | 'Debian'
  /** As the database names it. */
  readonly keys: readonly string[]
  readonly lookup: string
  readonly type: string
  readonly name: string
  readonly version: string
  readonly path: string
}

/**
 * Looks up what is in an image in a database of advisories. Packages of npm are known by their name, those of Debian by what they were built
 * from, in its release.
 * @throws as `readImage` and `readAdvisories`
 */
export async function scanImage(source: BlobSource, image: FoundImage, database: string): Promise<ScanResult> {
  const { options, nodeVersions } = packageReading()
  const packages = packagesOf(await readImage(source, image, options), nodeVersions)
  const { system, debianRelease, debian } = packages
  if (system === undefined ? debian.length > 0 : debianRelease === undefined)
    throw new SlipwayError(
      'SLW_NOT_IMPLEMENTED',
      `the image stands on ${system ?? 'a system without a name'}${system === 'debian' ? ' without a number of its release' : ''}, whose packages our own check does not know: it would find nothing in them. Use --scanner trivy or --scanner grype`,
    )
  const wanted = wantedOf(packages)
  const keys = new Set(wanted.flatMap((one) => one.keys))
  const { path, count, newest, about } = await readAdvisories(database, (key) => keys.has(key))
  const findings = wanted.flatMap((one) => {
    const found = one.keys
      .flatMap((key) => about.get(key) ?? [])
      .filter(({ affected }) => isAffected(affected, one.ecosystem, one.lookup))
      .map(({ advisory, affected }) => findingOf(one, advisory, affected))
    return withoutTwins(worstFirst(found))
  })
  return {
    scanner: { name: 'slipway', version: undefined },
    database: { path, built: newest, count },
    packages: wanted.length,
    findings: worstFirst(findings),
  }
}

function findingOf({ name, version, type, path, ecosystem, lookup }: Wanted, advisory: Advisory, affected: Affected): Finding {
  const { id, aliases = [], upstream, summary, details = '' } = advisory
  return {
    id,
    aliases,
    ...(upstream !== undefined && { upstream }),
    severity: advisorySeverity(advisory, affected),
    package: name,
    version,
    type,
    fixed: fixedIn(affected, ecosystem, lookup),
    summary: summary ?? details.split('\n')[0]?.slice(0, 200) ?? '',
    path,
  }
}

/** Of advisories that are the same by another name the first, which is the worst: one of them may not know how bad it is. */
function withoutTwins(findings: readonly Finding[]): Finding[] {
  const seen = new Set<string>()
  return findings.filter(({ id, aliases }) => {
    const isNew = ![id, ...aliases].some((name) => seen.has(name))
    for (const name of [id, ...aliases]) seen.add(name)
    return isNew
  })
}

function wantedOf({ npm, debian, debianRelease }: Packages): Wanted[] {
  // Advisories of Debian are of a release; those without one are for all.
  const releases = debianRelease === undefined ? ['Debian'] : [`Debian:${debianRelease}`, 'Debian']
  return [
    ...npm.map(({ name, version, path }): Wanted => ({
      ecosystem: 'npm',
      keys: [`npm ${name}`],
      lookup: version,
      type: 'npm',
      name,
      version,
      path,
    })),
    ...debian.map(({ name, version, source, sourceVersion, path }): Wanted => ({
      ecosystem: 'Debian',
      keys: releases.map((release) => `${release} ${source}`),
      lookup: sourceVersion,
      type: 'deb',
      name,
      version,
      path,
    })),
  ]
}

export function worstFirst(findings: readonly Finding[]): Finding[] {
  const rank = ({ severity }: Finding): number => SEVERITIES.indexOf(severity)
  return findings.toSorted((a, b) => rank(b) - rank(a) || (a.package < b.package ? -1 : a.package > b.package ? 1 : a.id < b.id ? -1 : 1))
}

/** What is found of a result after what somebody has decided to live with. */
export interface Judged {
  readonly findings: readonly Finding[]
  /** With the reason why it does not count. */
  readonly ignored: readonly (Finding & { readonly reason: string })[]
  /** Those that do not count any longer, or name nothing that was found. */
  readonly stale: readonly Ignored[]
  /** Findings that are at least as bad as what fails. */
  readonly failing: number
}

/** @param failOn `never`: nothing fails. @param today as `2027-01-31`; what expires on that day still counts */
export function judgeScan(
  { findings }: Pick<ScanResult, 'findings'>,
  { ignored, failOn, today }: { readonly ignored: readonly Ignored[]; readonly failOn: Severity | 'never'; readonly today: string },
): Judged {
  const valid = ignored.filter(({ expires }) => expires >= today)
  const used = new Set<Ignored>()
  const kept: Finding[] = []
  const gone: (Finding & { readonly reason: string })[] = []
  for (const finding of findings) {
    const why = valid.find(
      (one) =>
        [finding.id, ...finding.aliases, ...(finding.upstream ?? [])].includes(one.id) &&
        (one.package === undefined || one.package === finding.package),
    )
    if (why === undefined) kept.push(finding)
    else {
      used.add(why)
      gone.push({ ...finding, reason: why.reason })
    }
  }
  return {
    findings: kept,
    ignored: gone,
    stale: ignored.filter((one) => !used.has(one)),
    failing: failOn === 'never' ? 0 : kept.filter(({ severity }) => isAtLeast(severity, failOn)).length,
  }
}
