import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SlipwayError } from '../../core/errors.ts'
import { formatBytes } from '../../core/units.ts'
import { downloadTree } from '../../storage/objects/s3-tree.ts'
import { note } from '../output.ts'
import { clientOf, part, versionName } from '../control-plane/registry-command.ts'
import { push } from './push.ts'
import type { VersionAnswer } from '../../contract/registry-api.ts'
import type { PushOptions } from './push.ts'

export interface FetchOptions extends PushOptions {
  readonly s3Endpoint?: string
  readonly s3Region?: string
}

/**
 * Copies the files of a version that lie on a bucket into the registry, as the next version of its model, which servers can take. This machine
 * reads the bucket, with its own credentials.
 */
export async function fetchVersion(name: string, options: FetchOptions): Promise<void> {
  const { model, version } = versionName(name)
  const client = await clientOf(options)
  const { location, provenance, tags } = await client.ask<VersionAnswer>(`/models/${part(model)}/versions/${version}`)
  if (location === undefined)
    throw new SlipwayError(
      'SLW_USAGE',
      `the files of ${name} lie in the registry already; bring them here with: slipway model pull ${name} FOLDER`,
    )
  const [, bucket, prefix = ''] = /^s3:\/\/([^/]+)\/?(.*)$/i.exec(location) ?? []
  if (bucket === undefined)
    throw new SlipwayError(
      'SLW_NOT_IMPLEMENTED',
      `the files of ${name} lie at ${location}, and this command reads s3:// only: bring them to a folder, then: slipway model push FOLDER --name ${model}`,
    )
  // The variables that clients of MLflow and AWS have for it.
  const { AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, MLFLOW_S3_ENDPOINT_URL } = process.env
  const endpoint = options.s3Endpoint ?? MLFLOW_S3_ENDPOINT_URL ?? AWS_ENDPOINT_URL_S3 ?? AWS_ENDPOINT_URL
  const folder = await mkdtemp(join(tmpdir(), 'slipway-fetch-'))
  try {
    const files = await downloadTree(
      { bucket, prefix, ...(endpoint !== undefined && { endpoint }), ...(options.s3Region !== undefined && { region: options.s3Region }) },
      folder,
      ({ path, size }) => note(`  fetched ${path} (${formatBytes(size)})`),
    )
    if (files.length === 0) throw new SlipwayError('SLW_NOT_FOUND', `nothing lies at ${location}`)
    const [only] = files
    const kept = Object.entries(tags).map(([key, value]) => `${key}=${value}`)
    await push(files.length === 1 && only !== undefined && only.path.endsWith('.onnx') ? join(folder, only.path) : folder, {
      ...options,
      name: model,
      parent: name,
      tag: [...kept, ...(options.tag ?? [])],
      ...(provenance?.runId !== undefined && { run: provenance.runId }),
    })
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
