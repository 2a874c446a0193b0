"""The store of shared prefixes of a search that is run: where it lies, and what it may take."""

import shutil
from dataclasses import replace

from search.persistence.folder import Folder
from search.prefixes.key import identity_of
from search.prefixes.lending import Common, Lending
from search.spec.search import Search
from search.spec.sharing import Shared
from spaces.paths import with_values
from trainables import prefix
from trainables.start import StartAt

SHARE = 0.1  # of the free disk, where no limit is set
IN_STORE = 50 * 10**9  # bytes in an object store, where no limit is set


def lending_of(
    search: Search, shared: Shared, folder: Folder, data: str, begin: StartAt | None = None
) -> Lending | None:
    """What hands out shared prefixes; None where none are shared. `data`: digest of the data; `begin`: where all trials
    start.

    States in the store that the journal doesn't know are deleted: their worker was killed before it could tell.
    """
    sharing = prefix.sharing_of(search.model)
    if not shared.on or shared.prediction is None or sharing is None:
        return None
    base = folder.path.resolve() if folder.store is None else folder.store
    model = search.model
    present = prefix.stored(base)
    cap = search.prefixes
    if cap is None and folder.store is not None:
        cap = IN_STORE
    if cap is None:
        cap = sum(present.values()) + int(SHARE * shutil.disk_usage(folder.path).free)
    code = search.trainable["code"] if search.trainable is not None else None
    seed = search.settings.sampler.seed
    identity = identity_of(model, code, data, seed, search.every)
    if begin is not None:
        identity = replace(identity, begins=begin.step, start=begin.digests[seed])
    common = Common(
        model=model,
        sharing=sharing,
        identity=identity,
        prediction=shared.prediction,
        config_of=lambda values: model.parse(with_values(search.base, values), "a trial"),
        cap=cap,
    )
    return Lending(common, folder.records, present, lambda address: prefix.drop(base, address))
