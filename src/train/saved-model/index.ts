/**
 * @file SavedModels to run and to write. Their files are in src/formats/saved-model. Start at load.ts for reading, builder.ts for writing.
 */

export {
  type AddMetaGraphOptions,
  type GivenSignature,
  type SavedModelBuilder,
  type SaveSavedModelOptions,
  savedModelBuilder,
  saveSavedModel,
  simpleSave,
} from "./builder.ts";
export type { SignatureFeeds, SignatureResults, Sparse } from "./call.ts";
export {
  type CallOptions,
  type LoadedModel,
  type LoadSavedModelOptions,
  loadSavedModel,
  restoreSavedModel,
} from "./load.ts";
export {
  buildSignatureDef,
  buildTensorInfo,
  classificationSignatureDef,
  isValidSignature,
  opSignatureDef,
  predictSignatureDef,
  regressionSignatureDef,
  type SignatureTensors,
  type SparseOutputs,
} from "./signatures.ts";
