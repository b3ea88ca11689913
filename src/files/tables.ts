import type { Table } from '../storage/sql/schema.ts'

/** Tables of files by content, as Kysely sees them; the migrations document them. Times are UTC epoch milliseconds, flags 0 or 1. */
export interface FilesTables {
  contents: ContentsRow
  files: FilesRow
  uploads: UploadsRow
  doomed_objects: DoomedObjectsRow
  holds: HoldsRow
}

declare module '../storage/sql/schema.ts' {
  interface Schema extends FilesTables {}
}

export const FILES_TABLES: readonly Table[] = [
  { name: 'contents', key: ['id'] },
  { name: 'files', key: ['root', 'path'] },
  { name: 'uploads' },
  { name: 'doomed_objects' },
  { name: 'holds' },
]

export interface ContentsRow {
  id: string
  size: number
  sha256: string | null
  chunks: string
  object_key: string
  verified: number
  created_at: number
  unreferenced_since: number | null
}

export interface FilesRow {
  root: string
  path: string
  content_id: string
  size: number
  modified_at: number
}

export interface UploadsRow {
  object_key: string
  multipart_id: string | null
  target: string | null
  created_at: number
  expires_at: number
}

export interface DoomedObjectsRow {
  object_key: string
  since: number
}

export interface HoldsRow {
  id: string
  content_id: string
  expires_at: number
  held_for?: string | null
}
