"""The airfoil table in tests: facts about the real one, and a made file of the same form.

The real table is not part of this repository. Tests that need its bytes take the fixture `airfoil`
and are skipped unless the variable FLOPLINE_DATA names the file; all others run without it.
"""

from __future__ import annotations

SHA256 = "74c75fd71783f1e6b71f8a622b993dc592897a97cd689c5090a07147a1b097b3"
"""The hash of the published file."""
SHA256_LF = "10ee06e6cfb27dae6b44213d421d217012fb1f9b697592e73a4e4016b52d425f"
"""The hash of the published file after its line ends were converted."""

# Computed from the published file with numpy, apart from flopline: mean, and mean of z z^T (not
# centred), of the first 1500 rows, after all 1503 rows and all columns were standardised (ddof 0).
# The columns are frequency, angle, chord, velocity, thickness and sound pressure level.
MEAN = (
    -0.0014047929101988939,
    -0.0029808860442912797,
    0.000747479080679715,
    0.001446689667067548,
    -0.006345545011489464,
    0.005556150171647614,
)
SECOND_MOMENT = (
    (
        1.0008347328676066,
        -0.2754038290154855,
        -0.0031429334935943938,
        0.1349473080792121,
        -0.2350246561186683,
        -0.3875030393054906,
    ),
    (
        -0.2754038290154855,
        0.9975571591954422,
        -0.5047638110837881,
        0.06103329276738339,
        0.7454428989397678,
        -0.14813861914950802,
    ),
    (
        -0.0031429334935943938,
        -0.5047638110837881,
        1.0017206375119942,
        0.0032535168937600657,
        -0.2189125347003535,
        -0.23871038840006467,
    ),
    (
        0.1349473080792121,
        0.06103329276738339,
        0.0032535168937600657,
        1.0009535445035738,
        0.0006080559900943084,
        0.12133399384249825,
    ),
    (
        -0.2350246561186683,
        0.7454428989397678,
        -0.2189125347003535,
        0.0006080559900943084,
        0.9818670292535705,
        -0.2956664447867554,
    ),
    (
        -0.3875030393054906,
        -0.14813861914950802,
        -0.23871038840006467,
        0.12133399384249825,
        -0.2956664447867554,
        0.9865179438540734,
    ),
)


def lookalike() -> bytes:
    """Returns a file with the form of the table and made-up numbers: 1503 rows of 6, CRLF."""
    lines = []
    for i in range(1503):
        cells = (
            f"{800 + i}",
            f"{i % 9}.5",
            f"0.3{i % 10}48",
            f"71.{i % 7}",
            f"0.0026633{i % 8}",
            f"{126.201 - i % 20:.3f}",
        )
        lines.append("\t".join(cells) + "\r\n")
    return "".join(lines).encode()
