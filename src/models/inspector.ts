import { access, mkdtemp, open, rm } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { isSlipwayError, messageOf, SlipwayError } from '../core/errors.ts'
import { FairTurns } from '../core/fair-turns.ts'
import { MLMODEL_BYTES_MAX, MLMODEL_FILE, readMlmodelSignature, readPythonModel } from '../model/formats/mlmodel.ts'
import { describesHubModel, HUB_MODEL } from '../model/formats/onnx.ts'
import { beginsAsTrees, mayBeTrees, TREES_HEAD_BYTES } from '../model/formats/trees/trees.ts'
import { PACKAGE_FILE } from '../model/package-file.ts'
import { readPackage } from '../model/package.ts'
import { CONFIG_FILE } from '../model/triton/config.ts'
import { describeSignature } from '../signature/describe-signature.ts'
import { buildSignature } from '../signature/signature.ts'
import { writeTree } from '../files/write-tree.ts'
import { contentCheck } from './content-check.ts'
import { judgeByNames, runsCode } from './servable.ts'
import { treeDigest } from '../core/content-digest.ts'
import type { Inspection, ScanCheck } from '../contract/inspection.ts'
import type { SignatureDocument } from '../contract/signature-document.ts'
import type { PythonModel } from '../model/formats/mlmodel.ts'
import type { Contents } from '../files/contents.ts'
import type { Clock } from '../core/clock.ts'
import type { Inspect } from './servable.ts'
import type { TreeFile } from '../files/file-trees.ts'

export interface InspectorOptions {
  readonly contents: Contents
  /** Folder in which the files of a version are put together: it is there, and used by nothing else. */
  readonly folder: string
  /**
   * Loads the model and runs it, in an isolated process, until the signal ends that.
   * @returns the findings, in words, and the signature that its answers have shown to hold
   * @throws if the model cannot be loaded, or its answers differ from its golden examples
   */
  readonly tryOut: (folder: string, signal: AbortSignal) => Promise<{ readonly detail: string; readonly signature: SignatureDocument }>
  readonly clock: Clock
  /** Ends the inspections. */
  readonly ending: AbortSignal
}

/** Inspections at a time, each of another actor: models take memory, and one that hangs is not to hold up everybody. */
const AT_ONCE = 2
/** Time that a model has to load, warm up and answer its golden examples. */
const TRY_OUT_MS = 120_000

/** Number of inspections that are kept: those of the trees that were registered last. */
const KEPT = 500
const HEAD_BYTES = 16

/** Inspects the files of versions (docs/decisions/0009). */
export class Inspector {
  readonly #options: InspectorOptions
  readonly #kept = new Map<string, Inspection>()
  readonly #turns: FairTurns

  constructor(options: InspectorOptions) {
    this.#options = options
    this.#turns = new FairTurns(AT_ONCE, options.clock)
  }

  /** Faults of the files are part of the result, and never thrown. @throws SLW_STORE_UNAVAILABLE, SLW_STORE_CORRUPT, SLW_CANCELLED */
  readonly inspect: Inspect = async (files, { actor, signal: gone }, anew = false) => {
    const { ending } = this.#options
    const signal = gone === undefined ? ending : AbortSignal.any([gone, ending])
    if (files === undefined || files.length === 0) return judgeByNames(files)
    const digest = treeDigest(files)
    const known = (): Inspection | undefined => (anew ? undefined : this.#kept.get(digest))
    const inspection = known() ?? (await this.#turns.take(actor, async () => known() ?? (await this.#look(files, signal)), signal))
    if (this.#kept.size >= KEPT) this.#kept.delete(this.#kept.keys().next().value!)
    this.#kept.set(digest, inspection)
    return inspection
  }

  async #look(files: readonly TreeFile[], signal: AbortSignal): Promise<Inspection> {
    const inRoot = files.filter(({ path }) => !path.includes('/'))
    if (!isPackage(files, inRoot) && !(await this.#hasTrees(inRoot))) return await this.#lookWithoutModel(files)
    const folder = await mkdtemp(join(this.#options.folder, 'version-'))
    try {
      await writeTree(this.#options.contents, files, folder)
      const found = await this.#lookInto(files, folder, signal)
      // Without its files a model cannot be judged.
      if (!found.servable) await requireThere(files, folder)
      return found
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  }

  /** Whether a model of trees is among the files, whose formats are known by their first bytes. */
  async #hasTrees(inRoot: readonly TreeFile[]): Promise<boolean> {
    for (const file of inRoot) if (mayBeTrees(file.path) && beginsAsTrees(await this.#headOf(file, TREES_HEAD_BYTES))) return true
    return false
  }

  async #lookInto(files: readonly TreeFile[], folder: string, signal: AbortSignal): Promise<Inspection> {
    const scan: ScanCheck[] = [await contentCheck(files, ({ path }) => headOfFile(join(folder, path)))]
    try {
      const found = await readPackage({ name: 'model', version: '1', path: folder })
      const signature = describeSignature(
        buildSignature({ file: found.file, document: found.document, source: PACKAGE_FILE, text: found.text }),
      )
      const { python, summary } = found.file
      if (python !== undefined) return { ...forSandbox({ file: relative(folder, found.modelPath), ...python }, scan), signature }
      scan.push({ check: 'model', passed: true, detail: summary })
      const examples = { rows: found.document.examples ?? [], golden: found.document.golden ?? [] }
      const late = AbortSignal.timeout(TRY_OUT_MS)
      try {
        const tried = await this.#options.tryOut(folder, AbortSignal.any([signal, late]))
        return {
          servable: true,
          signature: tried.signature,
          examples,
          scan: [...scan, { check: 'run', passed: true, detail: tried.detail }],
        }
      } catch (error) {
        if (signal.aborted) throw new SlipwayError('SLW_CANCELLED', `the model was not tried to the end: ${messageOf(signal.reason)}`)
        const reason = late.aborted ? `it was not loaded and did not answer within ${TRY_OUT_MS / 1000} s` : inWords(error, folder)
        return { servable: false, reason, signature, examples, scan: [...scan, { check: 'run', passed: false, detail: reason }] }
      }
    } catch (error) {
      if (!isSlipwayError(error) || error.code === 'SLW_CANCELLED') throw error
      const reason = inWords(error, folder)
      return { servable: false, reason, scan: [...scan, { check: 'model', passed: false, detail: reason }] }
    }
  }

  /** Versions without a model in the root that a server reads are kept for use elsewhere; the file that MLflow writes may hold their signature. */
  async #lookWithoutModel(files: readonly TreeFile[]): Promise<Inspection> {
    const byName = judgeByNames(files.filter(({ path }) => !path.endsWith('.onnx')))
    const content = await contentCheck(files, (file) => this.#headOf(file))
    const mlmodel = files.find(({ path, size }) => path === MLMODEL_FILE && size <= MLMODEL_BYTES_MAX)
    const text = mlmodel === undefined ? undefined : await this.#textOf(mlmodel.contentId)
    const signature = text === undefined ? undefined : readMlmodelSignature(text)
    const nested = files.find(({ path }) => path.endsWith('.onnx'))
    const inFolder = `its model is ${nested?.path}, and a server looks for one beside ${PACKAGE_FILE}, or alone`
    const reason = nested !== undefined ? inFolder : content.passed ? byName.reason : content.detail
    const kept = {
      servable: false,
      ...(reason !== undefined && { reason }),
      scan: [content],
      ...(signature !== undefined && { signature }),
    }
    if (text === undefined || nested !== undefined) return kept
    try {
      const python = readPythonModel(text)
      return files.some(({ path }) => path === python.file) ? { ...kept, ...forSandbox(python, [content]) } : kept
    } catch (error) {
      if (!isSlipwayError(error)) throw error
      return { ...kept, scan: [content, { check: 'sandbox', passed: false, detail: error.message }] }
    }
  }

  async #headOf({ contentId, size }: TreeFile, bytesMax = HEAD_BYTES): Promise<Buffer> {
    const pieces: Uint8Array[] = []
    for await (const bytes of await this.#options.contents.open(contentId, { offset: 0, length: Math.min(size, bytesMax) }))
      pieces.push(bytes)
    return Buffer.concat(pieces)
  }

  async #textOf(contentId: string): Promise<string> {
    const pieces: Uint8Array[] = []
    for await (const bytes of await this.#options.contents.open(contentId)) pieces.push(bytes)
    return Buffer.concat(pieces).toString('utf8')
  }
}

/** Whether files are laid out as a server reads them; models of trees are known by their contents. */
function isPackage(files: readonly TreeFile[], inRoot: readonly TreeFile[]): boolean {
  if (inRoot.some(({ path }) => path === PACKAGE_FILE || path.endsWith('.onnx'))) return true
  if (inRoot.some(({ path }) => path === CONFIG_FILE)) return files.some(({ path }) => path.endsWith('.onnx'))
  return files.some(({ path }) => path === HUB_MODEL) && describesHubModel(inRoot.map(({ path }) => path))
}

/** @throws SLW_STORE_UNAVAILABLE */
async function requireThere(files: readonly TreeFile[], folder: string): Promise<void> {
  for (const { path } of files)
    await access(join(folder, path)).catch((error: unknown) => {
      throw new SlipwayError('SLW_STORE_UNAVAILABLE', `${path} was removed from ${folder} while the version was inspected`, {
        cause: error,
      })
    })
}

async function headOfFile(path: string): Promise<Buffer> {
  await using file = await open(path)
  const { buffer, bytesRead } = await file.read({ buffer: Buffer.alloc(HEAD_BYTES) })
  return buffer.subarray(0, bytesRead)
}

/** Python models are not loaded here either: the policy of the model decides whether they may be, and each server whether it can. */
function forSandbox(
  { file, format, sklearnVersion }: Pick<PythonModel, 'file' | 'format' | 'sklearnVersion'>,
  scan: readonly ScanCheck[],
): Inspection {
  const what = format === 'skops' ? 'a skops archive of scikit-learn' : 'a pickle'
  return {
    servable: false,
    reason: `${runsCode(file, what)}, or have servers run it confined: slipway model update NAME --sandbox yes`,
    scan: [
      ...scan,
      {
        check: 'sandbox',
        passed: true,
        detail: `of scikit-learn ${sklearnVersion}: runs in the sandbox of a server that has one, where the policy allows it`,
      },
    ],
  }
}

/** The message of an error, without the temporary folder that means nothing to callers. */
function inWords(error: unknown, folder: string): string {
  return messageOf(error).replaceAll(`${folder}/`, '').replaceAll(folder, 'the version')
}
