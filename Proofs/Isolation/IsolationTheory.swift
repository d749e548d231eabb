// SPDX-License-Identifier: Apache-2.0

import Specs

/// The composition: 2¹⁵ domains, 2³² frames and handles, 2⁸ processors a domain with 2³⁶ pages each; guests that use
/// anything that Shadow's guarantee lets them.
public let isolationTheory = Theory(
  subject: isolationSubject,
  theorems: [
    .proved("a processor reaches only what its domain owns or was granted"),
    .proved("what a processor can use is within its domain's reach"),
    .proved("reach rests on ownership or on a mapping in use"),
    .proved("a back end reaches only what its domain has mapped"),
    .proved("a mapped frame stays its granter's"),
    .proved("nobody reaches a free frame"),
    .proved("a frame is whose it was made"),
    .proved("a life is absent, running, dying, absent"),
    .proved("a domain that is gone permits nothing"),
    .proved("data lie only where their domain may write"),
    .proved("a wiped frame holds nobody's data"),
    .proved("a domain that is gone has nothing"),
    .proved("a mapping is of a domain that is there"),
  ],
  lemmas: [
    .proved("a mapping was permitted"),
    .proved("what is permitted now was permitted"),
    .proved("who writes maps"),
    .proved("a wiped frame is free"),
  ],
  relies: [
    .init(on: "Shadow", "a processor reaches only what the domain may"),
    .init(on: "Shadow", "a shadow maps only what the domain may reach and keeps"),
    .init(on: "Grants", "only what is permitted is reached"),
    .init(on: "Grants", "a mapped frame stays its granter's"),
    .init(on: "Grants", "references are exact: each member has its position"),
    .init(on: "Grants", "a mapping is of an entry of a domain that is there"),
    .init(on: "Grants", "a frame belongs to a domain that is there"),
    .init(on: "Balloon", "a frame holds its owner's data or none"),
    .init(on: "Balloon", "no frame is handed out twice"),
    .init(on: "Balloon", "a frame's domain is there"),
  ])
