import { open, stat } from 'node:fs/promises'
import { join } from 'node:path'

/** A format of models that is not served, and the way from it to ONNX. */
export interface ForeignFormat {
  readonly what: string
  /** The converter, with its command. */
  readonly cure: string
}

interface Sample {
  readonly name: string
  /** The first bytes of the file. */
  readonly head: Buffer
  /** The last bytes, where archives list their files, as Latin-1. */
  readonly tail: string
}

const HEAD_BYTES = 4096
const TAIL_BYTES = 256 * 1024

const SKLEARN =
  'convert it with skl2onnx: to_onnx(model, X[:1]).SerializeToString(), written to model.onnx (pip install skl2onnx); or log it with MLflow and serve it sandboxed (--sandbox-python)'
const TORCH =
  "convert it with torch.onnx.export(model, (example,), 'model.onnx', dynamo=True) in the program that has the model's class (pip install onnx onnxscript)"
const KERAS = "convert it with model.export('model.onnx', format='onnx') in Keras 3 (pip install onnx tf2onnx)"

/** What TorchServe serves: code of a handler beside a model. */
export const TORCHSERVE_ARCHIVE: ForeignFormat = { what: 'an archive of TorchServe', cure: `the model in it: ${TORCH}` }

/** In order: an archive of TorchServe may hold a checkpoint of PyTorch. */
const FORMATS: readonly (ForeignFormat & { readonly recognises: (sample: Sample) => boolean })[] = [
  { ...TORCHSERVE_ARCHIVE, recognises: (file) => lists(file, 'MAR-INF/MANIFEST.json') },
  { what: 'a checkpoint of PyTorch', cure: TORCH, recognises: (file) => lists(file, '/data.pkl') },
  { what: 'a model of Keras', cure: KERAS, recognises: (file) => lists(file, 'model.weights.h5') && lists(file, 'config.json') },
  { what: 'an HDF5 file, as Keras writes it', cure: KERAS, recognises: ({ head }) => starts(head, '\u0089HDF\r\n\u001A\n') },
  {
    what: 'a model in GGUF',
    cure: 'there is no way from it to ONNX; export the original with optimum-cli export onnx --model NAME FOLDER (pip install optimum[onnx])',
    recognises: ({ head }) => starts(head, 'GGUF'),
  },
  {
    what: 'a model of TensorFlow Lite',
    cure: 'convert it with python -m tf2onnx.convert --tflite FILE --output model.onnx (pip install tf2onnx)',
    recognises: ({ head }) => head.subarray(4, 8).toString('latin1') === 'TFL3',
  },
  {
    what: 'weights in safetensors, without the graph of the model',
    cure: 'convert it with optimum-cli export onnx --model FOLDER OUTPUT, with the configuration beside it (pip install optimum[onnx])',
    recognises: isSafetensors,
  },
  {
    what: 'an engine of TensorRT',
    cure: 'serve the ONNX file that it was built from',
    recognises: ({ head }) => starts(head, 'ftrt') || starts(head, 'ptrt'),
  },
  {
    what: 'a model of XGBoost in its old binary format',
    cure: "load it with XGBoost before 3.1 and save it as UBJSON, which is served: Booster(model_file=FILE).save_model('model.ubj')",
    recognises: ({ head }) => starts(head, 'binf'),
  },
  {
    what: 'a model of CatBoost in its binary format',
    cure: "save it as JSON, which is served: CatBoost().load_model(FILE).save_model('model.json', format='json')",
    recognises: ({ head }) => starts(head, 'CBM1'),
  },
  // Python's pickles begin with their protocol; joblib packs them with zlib.
  {
    what: 'a pickle of Python',
    cure: SKLEARN,
    recognises: ({ name, head }) =>
      (head[0] === 0x80 && head[1]! >= 2 && head[1]! <= 5) || (/\.(pkl|pickle|joblib)$/i.test(name) && head[0] === 0x78),
  },
]

const SAVED_MODEL: ForeignFormat = {
  what: 'a SavedModel of TensorFlow',
  cure: 'convert it with python -m tf2onnx.convert --saved-model FOLDER --output model.onnx (pip install tf2onnx)',
}

/** Recognises the format of a file that is not served, by its content. @returns undefined for any other file */
export async function foreignFile(path: string): Promise<ForeignFormat | undefined> {
  const file = await open(path).catch(() => undefined)
  if (file === undefined) return undefined
  try {
    const { size } = await file.stat()
    const read = async (length: number, position: number): Promise<Buffer> => {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, position)
      return buffer.subarray(0, bytesRead)
    }
    const head = await read(HEAD_BYTES, 0)
    const isArchive = starts(head, 'PK\u0003\u0004')
    const tail = isArchive ? (await read(TAIL_BYTES, Math.max(0, size - TAIL_BYTES))).toString('latin1') : ''
    return FORMATS.find(({ recognises }) => recognises({ name: path, head, tail }))
  } finally {
    await file.close()
  }
}

/** Recognises what a folder without a model of ours holds. @param names of its entries */
export async function foreignFolder(
  path: string,
  names: readonly string[],
): Promise<(ForeignFormat & { readonly name: string }) | undefined> {
  if (names.includes('saved_model.pb')) return { ...SAVED_MODEL, name: 'saved_model.pb' }
  for (const name of names.slice(0, 20)) {
    if ((await stat(join(path, name)).catch(() => undefined))?.isFile() !== true) continue
    const found = await foreignFile(join(path, name))
    if (found !== undefined) return { ...found, name }
  }
  return undefined
}

function starts(head: Buffer, text: string): boolean {
  return head.toString('latin1', 0, text.length) === text
}

/** Whether an archive has a file whose path ends so. */
function lists({ tail }: Sample, path: string): boolean {
  return tail.includes(path)
}

/** Eight bytes give the length of a header in JSON (the format's description on Hugging Face). */
function isSafetensors({ head }: Sample): boolean {
  return head.length > 9 && head.readBigUInt64LE(0) < 100_000_000n && head[8] === 0x7b && head[9] === 0x22
}
