"""How good preference data is: plain numbers in, frozen dataclasses out. An undefined figure is None, and `why` says why.

bias: does being longer (or more of anything) go with being chosen? format_bias: the same of headers, lists, bold and code.
diversity: how varied texts are. agreement: how far annotators agree. order_bias: what the order of two responses does to a judge.
calibration: can a judge's probabilities be trusted? personal: finding e-mail addresses and the like. sampling: some of many rows.
"""
