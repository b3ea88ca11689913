import { S3Tree } from '../../storage/objects/s3-tree.ts'

/** Where a bucket is, beyond its name. */
export interface FarPlaceOptions {
  readonly s3Endpoint?: string
  readonly s3Region?: string
}

/** A place of `s3://BUCKET/PREFIX`, read with the credentials of this machine; undefined for any other address. */
export async function farPlace(location: string, options: FarPlaceOptions): Promise<S3Tree | undefined> {
  const [, bucket, prefix = ''] = /^s3:\/\/([^/]+)\/?(.*)$/i.exec(location) ?? []
  if (bucket === undefined) return undefined
  // The variables that clients of MLflow and AWS have for it.
  const { AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, MLFLOW_S3_ENDPOINT_URL } = process.env
  const endpoint = options.s3Endpoint ?? MLFLOW_S3_ENDPOINT_URL ?? AWS_ENDPOINT_URL_S3 ?? AWS_ENDPOINT_URL
  return await S3Tree.open({
    bucket,
    prefix,
    ...(endpoint !== undefined && { endpoint }),
    ...(options.s3Region !== undefined && { region: options.s3Region }),
  })
}
