"""The experiment floor: from a YAML file to a study.

Reading and checking (:mod:`~bgsim.experiment.locate`, :mod:`~bgsim.experiment.schema`,
:mod:`~bgsim.experiment.plan`), identity (:mod:`~bgsim.experiment.identity`), execution
(:mod:`~bgsim.experiment.execute`, :mod:`~bgsim.experiment.pool`, :mod:`~bgsim.experiment.driver`),
the store (:mod:`~bgsim.experiment.store`), and what is made of it (:mod:`~bgsim.experiment.summary`,
:mod:`~bgsim.experiment.study`).
"""
