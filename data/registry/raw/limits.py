"""How much one raw thing may cost. Each limit stands far above honest data and far below what hurts a pod."""

KIB, MIB = 1 << 10, 1 << 20

ROW_BYTES = 16 * MIB  # one JSON row: the longest documents of public sets take about 1 MiB of text
TABLE_ROW_BYTES = 256 * MIB  # one TSV row: benchmark files put images as base64 into their cells
MEMBER_BYTES = 128 * MIB  # one member of an archive, unpacked: an image or a row
HEADER_BYTES = 1 * MIB  # a tar's extended header is held in memory: it is a name and a few numbers
NAME_BYTES = 4 * KIB  # Linux's PATH_MAX; a longer name can't be a file
JSON_DEPTH = 64  # honest rows nest about 6 deep; Python's own parser gives up near 1000, other code much earlier
INFLATION = 200  # unpacked : packed; text reaches 20, deflate can't pass 1032, and bombs come near it
INFLATION_FREE_BYTES = 64 * MIB  # small files may shrink as they like: an empty white page does
PARQUET_FOOTER_BYTES = 64 * MIB  # the footer is parsed whole; a million column chunks take about this
PARQUET_VALUES_PER_BYTE = 64  # run-length coding makes a billion equal values of nothing; honest columns stay below 8
CHUNK_BYTES = 1 * MIB  # how much is read at a time
REDIRECTS = 5  # of a download: a mirror and its storage need two
PDF_BYTES = 1024 * MIB  # a PDF is mapped by its parser
PDF_PAGES = 20_000  # an encyclopaedia has fewer; a page tree that says more lies
PAGE_CHARACTERS = 200_000  # of a page's text layer: a dense newspaper page has 30,000
GROUP_MEMBERS = 256  # of one WebDataset sample; the longest interleaved documents have some dozens of images
GROUP_BYTES = 512 * MIB  # of one sample in a compressed shard, which can't be read a second time
PDF_SECONDS = 30.0  # for one page; a dense map takes 3
PDF_MEMORY_BYTES = 4096 * MIB  # address space of the process that parses PDFs
