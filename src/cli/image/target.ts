import { SlipwayError } from '../../core/errors.ts'
import { createLayoutFolder } from '../../images/layout/folder.ts'
import { createLayoutTarball } from '../../images/layout/write-tarball.ts'
import type { BlobSink } from '../../images/oci.ts'

/**
 * Writes an image to where --output says: a tar archive by its name, else a folder.
 * @param name by which docker knows the image after `load`
 */
export async function writeOutput<T>(output: string, name: string, write: (sink: BlobSink) => Promise<T>): Promise<T> {
  if (/\.(tgz|gz|zst)$/.test(output))
    throw new SlipwayError('SLW_USAGE', `--output ${output}: expected a folder, or a name that ends in .tar`)
  if (!output.endsWith('.tar')) return await write(await createLayoutFolder(output))
  await using sink = await createLayoutTarball(output, { names: [name] })
  const result = await write(sink)
  await sink.finish()
  return result
}
