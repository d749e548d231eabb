// SPDX-License-Identifier: Apache-2.0
//
// Where shadow page tables are explored.

import Logic

extension Scope {
  /// Two frames of one entry at two levels: frame 1 is walked from, frame 0 goes out of sync. One processor has one
  /// place for a table out of sync, which has one fix-up; all three policies. Entries are the kernel's, writable,
  /// accessed and dirty.
  static let twoFrames = Scope(
    name: "two frames",
    arguments: [
      "storeByGuest.user": [1], "storeByGuest.noExecute": [0], "storeByGuest.accessed": [1],
      "storeByGuest.dirty": [1], "update.user": [1], "update.noExecute": [0], "update.accessed": [1],
      "update.dirty": [1], "update.target": [0], "resize.capacity": [2], "acquire.writes": [1],
      "link.table": [1], "load.table": [1], "unsync.table": [0], "expel.frame": [1], "pull.second": [0],
      "dropFixup.second": [0], "pull.table": [0], "storeByGuest.writable": [1], "update.writable": [1],
      "pin.table": [1],
    ],
    excluding: [
      "pin", "unpin", "invalidate", "clear", "release",
    ])

  /// One level-1 table of one entry, which comes and goes, in and out of sync.
  static let oneTable = Scope(
    name: "one table", counts: ["Frame": 1],
    arguments: [
      "storeByGuest.user": [1], "storeByGuest.noExecute": [0], "storeByGuest.accessed": [1],
      "storeByGuest.dirty": [1], "update.user": [1], "update.noExecute": [0], "update.accessed": [1],
      "update.dirty": [1], "resize.capacity": [0, 1, 2, 3], "create.level": [0], "acquire.writes": [0, 1],
    ],
    excluding: [
      "link", "unhook", "pin", "unpin", "load",
    ])

  /// One level-1 table of two entries, so that both fix-ups are used.
  static let twoSlots = Scope(
    name: "two slots", counts: ["Frame": 1, "Slot": 2],
    arguments: [
      "storeByGuest.user": [1], "storeByGuest.noExecute": [0], "storeByGuest.accessed": [1],
      "storeByGuest.dirty": [1], "update.user": [1], "update.noExecute": [0], "update.accessed": [1],
      "update.dirty": [1], "resize.capacity": [2], "create.level": [0], "acquire.writes": [1],
      "update.writable": [1], "storeByGuest.writable": [1],
    ],
    excluding: [
      "link", "unhook", "pin", "unpin", "load", "release", "destroy", "clear", "expel", "surrender",
      "invalidate", "finish",
    ])

  /// One entry whose rights the guest changes by hypercall.
  static let rights = Scope(
    name: "rights", counts: ["Frame": 1],
    arguments: [
      "resize.capacity": [2], "create.level": [0], "acquire.writes": [1], "update.noExecute": [0],
      "update.accessed": [1],
    ],
    excluding: [
      "link", "unhook", "pin", "unpin", "load", "release", "destroy", "clear", "expel", "surrender", "unsync",
      "storeByGuest", "close", "dropFixup", "finish", "invalidate", "finish",
    ])

  /// One frame that is a table at both levels, and may lead to itself.
  static let twoLevels = Scope(
    name: "two levels", counts: ["Frame": 1],
    arguments: [
      "storeByGuest.user": [1], "storeByGuest.noExecute": [0], "storeByGuest.accessed": [1],
      "storeByGuest.dirty": [1], "update.user": [1], "update.noExecute": [0], "update.dirty": [1],
      "resize.capacity": [2], "acquire.writes": [1], "update.writable": [1],
    ],
    excluding: [
      "storeByGuest", "unsync", "close", "dropFixup", "expel", "surrender",
    ])

  /// A table out of sync to which the guest stores any rights.
  static let anyStore = Scope(
    name: "any store", counts: ["Frame": 1],
    arguments: [
      "update.present": [1], "update.writable": [1], "update.user": [1], "update.noExecute": [0],
      "update.accessed": [1], "update.dirty": [1], "resize.capacity": [2], "create.level": [0],
      "acquire.writes": [1], "pull.second": [0], "unsync.table": [0],
    ],
    excluding: [
      "load", "flush", "invalidate", "pin", "unpin", "dropFixup", "link", "unhook", "finish", "clear",
      "destroy", "release", "expel", "surrender",
    ])

  /// Two tables, and two processors with three places each for tables out of sync.
  static let seats = Scope(
    name: "seats", counts: ["Position": 4, "Processor": 2],
    arguments: [
      "storeByGuest.user": [1], "storeByGuest.noExecute": [0], "storeByGuest.accessed": [1],
      "storeByGuest.dirty": [1], "update.user": [1], "update.noExecute": [0], "update.accessed": [1],
      "update.dirty": [1], "update.writable": [1], "update.present": [1], "resize.capacity": [3],
      "create.level": [0], "acquire.writes": [1], "pull.second": [0], "fill.level": [0], "update.table": [0],
      "update.target": [1], "pull.table": [0], "pull.writes": [0],
    ],
    excluding: [
      "fill", "storeByGuest", "load", "flush", "invalidate", "pin", "unpin", "dropFixup", "link", "unhook",
      "finish", "clear", "destroy", "release", "expel", "surrender",
    ])
}
