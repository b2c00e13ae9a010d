/**
 * @file Event files: TFRecords of Event messages, the first of which says the version. Start at `readEvents`.
 *
 * @see TensorFlow core/util/event.proto, core/util/events_writer.cc
 */

import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { VarscopeError } from "../../base/index.ts";
import { type Event, EventSchema } from "../../proto/index.ts";
import { type ReadRecordsOptions, readRecords, writeRecord } from "../../wire/index.ts";

/** What an event is made of: seconds since 1970, a step, and one of several things. */
export type EventInit = MessageInitShape<typeof EventSchema>;

/** @see TensorFlow core/util/events_writer.h "kVersionPrefix", "kCurrentVersion" */
const VERSION_PREFIX = "brain.Event:";
const VERSION = 2;

/** What a SessionLog tells. @see TensorFlow core/util/event.proto "SessionStatus" */
export const SESSION_STATUS = { START: 1, STOP: 2, CHECKPOINT: 3 } as const;

/** An event as a record. */
export const writeEvent = (event: EventInit): Uint8Array =>
  writeRecord(toBinary(EventSchema, create(EventSchema, event)));

/** The record that an event file begins with. `wallTime`: seconds since 1970 */
export const writeVersionEvent = (wallTime: number): Uint8Array =>
  writeEvent({ wallTime, what: { case: "fileVersion", value: `${VERSION_PREFIX}${VERSION}` } });

/**
 * The events of a file, without the one of its version. A last event that breaks off, as a writer that was killed leaves it, is left
 * out, unless `allowCut` is false.
 *
 * @throws VarscopeError DATA_LOSS - a checksum is wrong, or a record holds no event; UNIMPLEMENTED - another version
 */
export function* readEvents(bytes: Uint8Array, options: ReadRecordsOptions = {}): Generator<Event> {
  const { file = "events", allowCut = true } = options;
  let index = 0;
  for (const record of readRecords(bytes, { file, allowCut })) {
    const event = parsed(record, file, index++);
    if (event.what.case !== "fileVersion") yield event;
    else if (event.what.value !== `${VERSION_PREFIX}${VERSION}`) {
      throw new VarscopeError("UNIMPLEMENTED", `event files of version '${event.what.value}' are not known`, {
        at: file,
        hint: `'${VERSION_PREFIX}${VERSION}' is`,
      });
    }
  }
}

function parsed(record: Uint8Array, file: string, index: number): Event {
  try {
    return fromBinary(EventSchema, record);
  } catch (cause) {
    throw new VarscopeError("DATA_LOSS", `record ${index} is no Event`, { at: file, cause });
  }
}
