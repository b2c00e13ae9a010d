/**
 * @file SavedModels: their variables as a collection, their MetaGraphs, and copies with other values. Start at read.ts.
 */

export { assetFiles, assetsFolder, initOpName, trainOpName } from "./assets.ts";
export { SavedModelKeys, SavedModelTags, SignatureMethods } from "./names.ts";
export { chooseMetaGraph, openSavedModel, readSavedModelMeta, tagsOf, variablesPrefix } from "./read.ts";
export { writeSavedModelVariables } from "./write.ts";
