import { createHash } from 'node:crypto'
import type { FoundImage } from '../inspect/find-image.ts'
import type { Packages } from '../inspect/packages.ts'

/** What bills of materials of an image are made from. The same gives the same bytes. */
export interface Bill {
  /** Of the image, without tag and digest: `registry.example/team/churn`, or the name of a folder. */
  readonly name: string
  readonly image: FoundImage
  readonly packages: Packages
  /** Of Slipway, which writes it. */
  readonly tool: string
  /** Seconds since 1970. Default: when the image was made, as it says itself, else 0. */
  readonly at?: number | undefined
}

/** When a bill is from, as `2026-01-31T12:00:00Z`. */
export function billTime({ at, image }: Bill): string {
  const created = Date.parse(image.config.created ?? '')
  const seconds = at ?? (Number.isNaN(created) ? 0 : Math.floor(created / 1000))
  return new Date(seconds * 1000).toISOString().replace('.000Z', 'Z')
}

/** A UUID that is another for another image or format, and the same for the same: version 8 of RFC 9562, of a SHA-256. */
export function billId(bill: Bill, format: string): string {
  const { image, name, tool } = bill
  const bytes = createHash('sha256')
    .update(`${format} ${image.descriptor.digest} ${name} ${tool} ${billTime(bill)}`)
    .digest()
    .subarray(0, 16)
  bytes[6] = (bytes[6]! & 0x0f) | 0x80
  bytes[8] = (bytes[8]! & 0x3f) | 0x80
  const hex = bytes.toString('hex')
  return `urn:uuid:${[hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')}`
}

/** A package as every tool names it: https://github.com/package-url/purl-spec */
export function purl(
  type: string,
  name: string,
  version: string | undefined,
  qualifiers: Readonly<Record<string, string | undefined>> = {},
): string {
  const path = name.split('/').map(encodeURIComponent).join('/')
  const told = Object.entries(qualifiers)
    .flatMap(([key, value]) => (value === undefined || value === '' ? [] : [`${key}=${encodeURIComponent(value).replaceAll('%2F', '/')}`]))
    .toSorted()
  return `pkg:${type}/${path}${version === undefined ? '' : `@${encodeURIComponent(version)}`}${told.length === 0 ? '' : `?${told.join('&')}`}`
}

/** The image itself. Its name there is the last part, in small letters. */
export function imagePurl({ name, image }: Bill): string {
  const { descriptor, platform } = image
  const [last = 'image'] = name.toLowerCase().split('/').slice(-1)
  return purl('oci', last, descriptor.digest, {
    arch: platform.architecture,
    repository_url: name.includes('/') ? name.toLowerCase() : undefined,
  })
}

/** A package of Debian, in its release. */
export function debianPurl({ name, version, architecture }: Packages['debian'][number], release: string | undefined): string {
  return purl('deb', `debian/${name}`, version, { arch: architecture, distro: release === undefined ? undefined : `debian-${release}` })
}

/** Identifiers of https://spdx.org/licenses/ that packages of npm have; what is none of them is told as text. */
const LICENCES: ReadonlySet<string> = new Set([
  '0BSD',
  'AFL-2.1',
  'AGPL-3.0-only',
  'AGPL-3.0-or-later',
  'Apache-2.0',
  'Artistic-2.0',
  'BlueOak-1.0.0',
  'BSD-1-Clause',
  'BSD-2-Clause',
  'BSD-3-Clause',
  'BSL-1.0',
  'CC-BY-3.0',
  'CC-BY-4.0',
  'CC0-1.0',
  'EPL-2.0',
  'GPL-2.0-only',
  'GPL-2.0-or-later',
  'GPL-3.0-only',
  'GPL-3.0-or-later',
  'ISC',
  'LGPL-2.1-only',
  'LGPL-2.1-or-later',
  'LGPL-3.0-only',
  'LGPL-3.0-or-later',
  'MIT',
  'MIT-0',
  'MPL-1.1',
  'MPL-2.0',
  'OFL-1.1',
  'Python-2.0',
  'Unicode-3.0',
  'Unlicense',
  'WTFPL',
  'X11',
  'Zlib',
  'ZPL-2.1',
])

/** What a package says of its licence: one that has an identifier, an expression of several, or words. */
export type Licence = { readonly id: string } | { readonly expression: string } | { readonly text: string } | undefined

export function licenceOf(told: string | undefined): Licence {
  if (told === undefined || told.trim() === '') return undefined
  const text = told.trim()
  if (LICENCES.has(text)) return { id: text }
  const inside = /^\(([^()]+)\)$/.exec(text)?.[1] ?? text
  const parts = inside.split(/ (?:AND|OR) /)
  return parts.length > 1 && parts.every((part) => LICENCES.has(part)) ? { expression: text } : { text }
}
