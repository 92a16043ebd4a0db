"""The public names as type checkers and editors see them; ``__init__.py`` loads them."""

from notesmith.config.corpus import ReadingConfig as ReadingConfig
from notesmith.corpus.reading import read_corpus as read_corpus
from notesmith.corpus.reading import write_corpus as write_corpus
from notesmith.document import Document as Document
from notesmith.document import Entity as Entity
from notesmith.document import Provenance as Provenance
from notesmith.document import Relation as Relation
from notesmith.experiment.run import run_recipe as run_recipe
from notesmith.metrics import score as score
from notesmith.ner.model import load_ner as load_ner
from notesmith.ner.train import train_ner as train_ner
from notesmith.workflows.annotate import annotate as annotate
from notesmith.workflows.synthesize import synthesize as synthesize

__version__: str
