"""Random PromQL expressions that are valid: every function, aggregation, operator and modifier, over
the metrics of a data set. The same seed and data give the same expressions.

Types are followed (a scalar where a scalar belongs), and both sides of an operator are made from the
same metric more often than not, so that most answers have something in them.
"""
FLOAT_FUNCTIONS = ('abs ceil floor exp sqrt ln log2 log10 sgn deg rad sin cos tan asin acos atan sinh '
                   'cosh tanh asinh acosh atanh').split()
DATE_FUNCTIONS = 'day_of_month day_of_week day_of_year days_in_month hour minute month year'.split()
RANGE_FUNCTIONS = (
    'rate rate rate increase increase irate delta idelta deriv changes resets avg_over_time min_over_time max_over_time '
    'sum_over_time count_over_time last_over_time first_over_time present_over_time '
    'stddev_over_time stdvar_over_time mad_over_time absent_over_time ts_of_first_over_time '
    'ts_of_last_over_time ts_of_max_over_time ts_of_min_over_time integral').split()
HISTOGRAM_FUNCTIONS = 'histogram_count histogram_sum histogram_avg histogram_stddev histogram_stdvar'.split()
AGGREGATIONS = 'sum avg count min max group stddev stdvar'.split()
PARAMETER_AGGREGATIONS = 'topk quantile quantile count_values limitk limit_ratio'.split()
ARITHMETIC = '+ - * / % ^ atan2'.split()
COMPARISONS = '== != > < >= <='.split()
SETS = 'and or unless'.split()
WINDOWS = ('30s', '1m', '90s', '2m', '5m', '5m', '10m', '17m', '30m', '1h', '1h30m')
NUMBERS = ('0', '1', '2', '0.5', '10', '3.7', '100', '1e3', '1e-3', 'Inf', 'NaN', '0x1F', '1_000', '.5', '5m', '1m30s',
           '0.9', '1024')
QUANTILES = ('0', '0.1', '0.5', '0.9', '0.99', '1', '1.5', '-0.1', 'NaN')


class Metric:
    def __init__(self, name):
        self.name, self.labels, self.kind = name, {}, 'gauge'

    def add(self, series):
        for label, value in series['labels'].items():
            if label != '__name__':
                self.labels.setdefault(label, set()).add(value)
        points = [p[1] for p in series['points'] if not isinstance(p[1], bytes)]
        native = sum(not isinstance(v, float) for v in points)
        if native:
            self.kind = 'native' if native == len(points) and self.kind != 'mixed' else 'mixed'
        elif self.name.endswith('_bucket') and 'le' in series['labels']:
            self.kind = 'bucket'
        elif series.get('counter'):
            self.kind = 'counter'


def metrics_of(series):
    """name: Metric, of the series of promql_data.py."""
    found = {}
    for one in series:
        name = one['labels']['__name__']
        found.setdefault(name, Metric(name)).add(one)
    for metric in found.values():
        metric.labels = {k: sorted(v) for k, v in sorted(metric.labels.items())}
    return found


class Generator:
    def __init__(self, rng, metrics, start_ms, end_ms):
        self.rng, self.start_ms, self.end_ms = rng, start_ms, end_ms
        self.metrics = [metrics[name] for name in sorted(metrics)]
        self.of_kind = {}
        for metric in self.metrics:
            self.of_kind.setdefault(metric.kind, []).append(metric)

    # ---- the choices ----

    def chance(self, p):
        return self.rng.random() < p

    def one(self, items):
        return items[self.rng.randrange(len(items))]

    def metric(self, *kinds):
        """The expression's own metric mostly, if it is of such a kind."""
        if (not kinds or self.focus.kind in kinds) and self.chance(0.75):
            return self.focus
        kind = self.one(kinds) if kinds else self.one(sorted(self.of_kind))
        return self.one(self.of_kind[kind])

    def some(self, items, most):
        items = sorted(items)
        return sorted(self.rng.sample(items, min(len(items), self.rng.randint(0, most))))

    # ---- whole expressions ----

    def expression(self):
        weights = {'gauge': 3, 'counter': 4, 'bucket': 2, 'native': 4, 'mixed': 1}
        kinds = sorted(self.of_kind)
        kind = self.rng.choices(kinds, [weights[k] for k in kinds])[0]
        self.focus = self.one(self.of_kind[kind])
        self.order = self.inner = None
        self.pins = True
        depth = self.rng.choice((1, 2, 2, 3, 3, 4))
        roll = self.rng.random()
        if roll < 0.05:
            return self.scalar(depth)
        if roll < 0.07:
            return self.string()
        if roll < 0.13:
            # At the top, where it is known what equal values may do: the order of the answer counts.
            return self.sort(depth, True) if self.chance(0.5) else self.topk(depth, True)
        return self.vector(depth)

    def instant_only(self):
        """What a range query may not return."""
        return self.matrix(2)

    # ---- literals ----

    def string(self):
        return self.one(('"a"', "'it''s'".replace("''", "\\'"), '`raw\\n`', '"\\u00fc\\t"', '""'))

    def duration(self, window=None):
        """As it stands in brackets: a duration, a number of seconds, or an expression of those."""
        window = window or self.one(WINDOWS)
        roll = self.rng.random()
        if roll < 0.85:
            return window
        return self.one(('%s*2' % window, '%s+30s' % window, '(%s)/2' % window, '90', '300.5', 'max_of(%s,1m)' % window,
                         'min_of(step(), %s)+1m' % window, 'step()+1m', '%s-10s' % window, '2^6', '1h%%17m+%s' % window,
                         'range()/7+1m'))

    def parameter(self, depth):
        """Of an aggregation. Prometheus doesn't pin what is in there to one time in a range query."""
        self.pins = False
        text = self.scalar(depth)
        self.pins = True
        return text

    def number(self):
        return ('-' if self.chance(0.15) else '') + self.one(NUMBERS)

    def scalar(self, depth):
        roll = self.rng.random()
        if depth <= 0 or roll < 0.4:
            return self.number()
        if roll < 0.55:
            return self.one(('time()', 'pi()', 'start()', 'end()', 'step()', 'range()', 'time()'))
        if roll < 0.75:
            return 'scalar(%s)' % self.vector(depth - 1)
        if roll < 0.8:
            return '%s(%s, %s)' % (self.one(('min_of', 'max_of')), self.scalar(depth - 1), self.scalar(depth - 1))
        if roll < 0.86:
            return '%s%s' % (self.one('+-'), self.scalar(depth - 1))
        if roll < 0.92:
            return '(%s)' % self.scalar(depth - 1)
        if roll < 0.95:
            return '(%s %s bool %s)' % (self.scalar(depth - 1), self.one(COMPARISONS), self.scalar(depth - 1))
        return '%s %s %s' % (self.scalar(depth - 1), self.one(ARITHMETIC), self.scalar(depth - 1))

    # ---- selectors ----

    def matcher(self, metric):
        if not metric.labels:
            return self.one(('absent=""', 'job!="x"', 'job=~".*"'))
        label = self.one(list(metric.labels))
        value = self.one(metric.labels[label])
        quoted = '"' + value.replace('\\', '\\\\').replace('"', '\\"').replace('\n', '\\n') + '"'
        plain = ''.join('\\\\' + c if c in '.+*?()[]{}|^$' else c for c in value if c not in '\\"\n')
        name = '"%s"' % label if '.' in label else label
        return name + self.one((
            '=' + quoted, '=' + quoted, '!=' + quoted, '=~".+"', '!~""', '=~"%s|x.*"' % plain, '!~"%s"' % plain,
            '=~"(?i:%s)"' % plain.upper(), '=~".*%s"' % plain[-3:], '=~"[^%s].*"' % (plain.strip('\\')[:1] or 'x'), '!~".*z"', '=""',
            '=~"%s.*|"' % plain[:2].rstrip('\\')))

    def selector(self, metric=None, modifiers=True):
        metric = metric or self.metric()
        matchers = [self.matcher(metric) for _ in range(self.rng.choice((0, 0, 0, 1, 1, 2)))]
        if '.' in metric.name:
            text = '{' + ', '.join(['"%s"' % metric.name] + matchers) + '}'
        elif self.chance(0.01):
            text = '{' + ', '.join(['__name__=~"%s"' % self.one(('node_.*', '.+', '.*_total', '.*seconds.*'))] + matchers) + '}'
        elif self.chance(0.05):
            text = '{' + ', '.join(['__name__=~"%s.*"' % metric.name] + matchers) + '}'
        else:
            text = metric.name + ('{' + ','.join(matchers) + '}' if matchers else '')
        return text + (self.time_modifier() if modifiers else '')

    def time_modifier(self):
        parts = []
        if self.chance(0.12):
            parts.append('offset ' + self.one(('1m', '-1m', '5m', '30s', '17m', '-3m20s', '1h', '90', '(1m+30s)', '-(5m)',
                                               '(step()*2)', '3m', '-range()')))
        if self.chance(0.08) and self.pins:
            parts.append('@ ' + self.one(('start()', 'end()', '%.3f' % (self.rng.uniform(self.start_ms, self.end_ms) / 1000),
                                          '%d' % (self.rng.uniform(self.start_ms, self.end_ms) // 1000))))
        if self.chance(0.5):
            parts.reverse()
        return ''.join(' ' + p for p in parts)

    def matrix(self, depth, metric=None, extended=False):
        roll = self.rng.random()
        if depth > 0 and roll < 0.25 and not extended:
            step = self.one(('', '', '30s', '1m', '45s', '2m', '7s' if self.chance(0.3) else '1m', 'step()', '20+10'))
            inner = self.vector(depth - 1) if self.chance(0.85) else self.scalar(depth - 1)
            # A subquery binds tighter than an operator, so its inside is put in parentheses.
            return '(%s)[%s:%s]%s' % (inner, self.duration(self.one(WINDOWS[:8])), step, self.time_modifier())
        selector = self.selector(metric, False)
        word = ''
        if extended and self.chance(0.4):
            word = ' ' + extended
        return '%s[%s]%s%s' % (selector, self.duration(), word, self.time_modifier())

    # ---- vectors ----

    def vector(self, depth):
        if depth <= 0:
            return self.leaf()
        roll = self.rng.random()
        for limit, make in ((0.17, self.range_function), (0.27, self.function), (0.49, self.aggregation),
                            (0.75, self.binary), (0.83, self.histogram), (0.88, self.label_function), (0.90, self.sort),
                            (0.92, self.absent), (0.95, self.unary), (0.965, self.info), (1.0, self.leaf)):
            if roll < limit:
                return make(depth)
        return self.leaf(depth)

    def leaf(self, _depth=0):
        roll = self.rng.random()
        if roll < 0.08:
            return 'vector(%s)' % self.scalar(1)
        if roll < 0.12:
            return self.selector(modifiers=False) + ' smoothed' + self.time_modifier()
        if roll < 0.4:
            return self.range_function(0)
        return self.selector()

    def unary(self, depth):
        return '%s(%s)' % (self.one(('-', '+', '', '')), self.vector(depth - 1))

    def range_function(self, depth):
        depth -= 1
        name = self.one(RANGE_FUNCTIONS + ['quantile_over_time', 'predict_linear', 'double_exponential_smoothing'])
        metric = self.metric('counter', 'native', 'bucket') if name in ('rate', 'increase', 'irate', 'resets') and self.chance(0.8) else None
        if metric is None and self.chance(0.3):
            metric = self.metric('gauge')
        extended = {'rate': ('smoothed', 'anchored'), 'increase': ('smoothed', 'anchored'),
                    'delta': ('smoothed', 'anchored'), 'resets': ('anchored',), 'changes': ('anchored',)}.get(name)
        matrix = self.matrix(depth, metric, self.one(extended) if extended and self.chance(0.5) else False)
        if name == 'quantile_over_time':
            return '%s(%s, %s)' % (name, self.one(QUANTILES) if self.chance(0.8) else self.scalar(depth), matrix)
        if name == 'predict_linear':
            return '%s(%s, %s)' % (name, matrix, self.one(('300', '1h', '-60', '0')) if self.chance(0.8) else self.scalar(depth))
        if name == 'integral':
            return '%s(%s%s)' % (name, matrix, ', ' + self.one(('0', '1', '-1', '2')) if self.chance(0.5) else '')
        if name == 'double_exponential_smoothing':
            return '%s(%s, %s, %s)' % (name, matrix, self.one(('0.1', '0.5', '0.9')), self.one(('0.1', '0.3', '0.8')))
        return '%s(%s)' % (name, matrix)

    def function(self, depth):
        roll, inner = self.rng.random(), self.vector(depth - 1)
        if roll < 0.4:
            return '%s(%s)' % (self.one(FLOAT_FUNCTIONS), inner)
        if roll < 0.5:
            return '%s(%s)' % (self.one(DATE_FUNCTIONS), '' if self.chance(0.15) else inner)
        if roll < 0.6:
            return '%s(%s)' % (self.one(('timestamp', 'timestamp', 'start_timestamp')), inner)
        if roll < 0.7:
            return 'clamp(%s, %s, %s)' % (inner, self.scalar(depth - 1), self.scalar(depth - 1))
        if roll < 0.8:
            return '%s(%s, %s)' % (self.one(('clamp_min', 'clamp_max')), inner, self.scalar(depth - 1))
        if roll < 0.9:
            return 'round(%s%s)' % (inner, ', ' + self.scalar(depth - 1) if self.chance(0.5) else '')
        return 'vector(scalar(%s))' % inner

    def grouping(self, names=None):
        names = names if names is not None else sorted(set(self.focus.labels) | {'job', 'instance'})
        labels = self.some(names, 3)
        return ', '.join('"%s"' % x if '.' in x else x for x in labels)

    def aggregation(self, depth):
        inner = self.vector(depth - 1)
        modifier = ''
        if self.chance(0.65):
            modifier = '%s (%s)' % (self.one(('by', 'by', 'without')), self.grouping())
            if self.chance(0.03):
                modifier = 'by (__name__)'
        if self.chance(0.7):
            name, arguments = self.one(AGGREGATIONS), inner
        else:
            name = self.one(PARAMETER_AGGREGATIONS)
            if name == 'topk':
                # Which of equal values it picks is not said, so something is made of all of them.
                return '%s(%s)' % (self.one(('sum', 'count', 'min', 'max', 'avg', 'stddev')), self.topk(depth - 1))
            if name == 'limitk':
                return self.limitk(depth, modifier)
            parameter = {
                'quantile': lambda: self.one(QUANTILES),
                'count_values': lambda: self.one(('"value"', '"instance"', '"le"')),
                'limit_ratio': lambda: self.one(('0.5', '-0.5', '0.1', '-0.9', '1', '0', '-1'))}[name]()
            if name not in ('count_values', 'limit_ratio') and self.chance(0.1):
                parameter = self.parameter(depth - 1)
            if name == 'count_values':
                inner = 'round(%s, 0.01)' % inner if self.chance(0.7) else self.selector()
            arguments = '%s, %s' % (parameter, inner)
        if modifier and self.chance(0.4):
            return '%s(%s) %s' % (name, arguments, modifier)
        return '%s %s(%s)' % (name, modifier, arguments) if modifier else '%s(%s)' % (name, arguments)

    def limitk(self, depth, modifier):
        # It picks the first, and only selectors have an order that is said: of all else only how many
        # it picks is compared.
        parameter = self.one('0123') if self.chance(0.9) else self.parameter(depth - 1)
        if self.chance(0.5):
            return 'limitk %s(%s, %s)' % (modifier, parameter, self.selector())
        return 'count(limitk %s(%s, %s))' % (modifier, parameter, self.vector(depth - 1))

    def topk(self, depth, top=False):
        inner = self.vector(depth - 1)
        modifier = ''
        if top:
            self.order, self.inner = 'top', inner
            if self.chance(0.4):
                modifier = ' %s (%s) ' % (self.one(('by', 'without')), self.grouping())
        return '%s%s(%s, %s)' % (self.one(('topk', 'bottomk')), modifier,
                                 self.one('11235409') if self.chance(0.9) else self.parameter(1), inner)

    def operand(self, depth):
        """One side of an operator, in parentheses where precedence would tear it apart."""
        text = self.vector(depth)
        return '(%s)' % text if self.chance(0.5) else text

    def binary(self, depth):
        depth -= 1
        roll = self.rng.random()
        if roll < 0.25:
            operator = self.one(ARITHMETIC + COMPARISONS)
            if self.chance(0.4 if self.focus.kind == 'native' else 0.02):
                return '%s %s %s' % (self.operand(depth), self.one(('</', '>/')), self.scalar(depth))
            boolean = ' bool' if operator in COMPARISONS and self.chance(0.5) else ''
            sides = [self.operand(depth), self.scalar(depth)]
            self.rng.shuffle(sides)
            return '%s %s%s %s' % (sides[0], operator, boolean, sides[1])
        if roll < 0.5:
            return '%s %s%s %s' % (self.operand(depth), self.one(SETS), self.on(), self.operand(depth))
        operator = self.one(ARITHMETIC * 2 + COMPARISONS * 2 + ['</', '>/'])
        boolean = ' bool' if operator in COMPARISONS and self.chance(0.4) else ''
        if roll < 0.65:
            # The same series on both sides: everything matches.
            metric = self.metric()
            left, right = (self.one((lambda: self.selector(metric), lambda: 'rate(%s)' % self.matrix(0, metric),
                                     lambda: 'last_over_time(%s)' % self.matrix(0, metric)))() for _ in 'lr')
            return '%s %s%s%s %s' % (left, operator, boolean, self.fill(), right)
        if roll < 0.82:
            return self.many_to_one(depth, operator + boolean)
        return '%s %s%s%s%s %s' % (self.operand(depth), operator, boolean, self.on(), self.fill(), self.operand(depth))

    def on(self):
        if self.chance(0.5):
            return ''
        return ' %s (%s)' % (self.one(('on', 'ignoring')), self.grouping())

    def fill(self):
        if self.chance(0.85):
            return ''
        value = lambda: self.one(('0', '1', '-1', 'NaN', '3.5', 'Inf'))
        return ' ' + self.one(('fill(%s)' % value(), 'fill_left(%s)' % value(), 'fill_right(%s)' % value(),
                               'fill_left(%s) fill_right(%s)' % (value(), value())))

    def many_to_one(self, depth, operator):
        """Series of a metric against an aggregate of their group."""
        labels = sorted(self.focus.labels)
        shared = self.some(labels, 2) or ['job']
        names = ', '.join('"%s"' % x if '.' in x else x for x in shared)
        many = self.one((lambda: self.selector(self.focus), lambda: 'rate(%s)' % self.matrix(0, self.focus)))()
        one = '%s by (%s) (%s)' % (self.one(AGGREGATIONS), names, self.vector(depth - 1) if self.chance(0.3) else self.selector(self.focus))
        include = self.one(('()', '()', '', '(version)', '(%s)' % names if self.chance(0.3) else '', '(instance)'))
        if self.chance(0.3):
            one = '(%s or on(%s) vector(1))' % (one, names)
        modifier = ' on (%s) ' % names
        if self.chance(0.5):
            return '%s %s%sgroup_left %s%s %s' % (many, operator, modifier, include, self.fill(), one)
        # No fill here: which side fill_left() of group_right means has changed within Prometheus 3.
        return '%s %s%sgroup_right %s %s' % (one, operator, modifier, include, many)

    def histogram(self, depth):
        roll = self.rng.random()
        name = self.one(HISTOGRAM_FUNCTIONS + ['histogram_quantile'] * 4 + ['histogram_fraction'] * 2 + ['histogram_quantiles'])
        if name in HISTOGRAM_FUNCTIONS or roll < 0.5:
            metric = self.metric('native', 'mixed')
        else:
            metric = self.metric('bucket')
        inner = self.one((lambda: self.selector(metric), lambda: 'rate(%s)' % self.matrix(0, metric),
                          lambda: 'increase(%s)' % self.matrix(0, metric),
                          lambda: 'sum by (%s) (rate(%s))' % (', '.join(['le'] * (metric.kind == 'bucket' or self.chance(0.2)) + self.some(
                              [x for x in metric.labels if x != 'le'], 2)), self.matrix(0, metric)),
                          lambda: self.vector(depth - 1)))()
        if name == 'histogram_quantile':
            return '%s(%s, %s)' % (name, self.one(QUANTILES) if self.chance(0.85) else self.scalar(depth - 1), inner)
        if name == 'histogram_fraction':
            return '%s(%s, %s, %s)' % (name, self.one(('0', '-Inf', '0.01', '-1', '0.1', 'NaN')), self.one(('0.1', '1', 'Inf', '0.05', '-0.5')), inner)
        if name == 'histogram_quantiles':
            return '%s(%s, "q", %s)' % (name, inner, ', '.join(self.rng.sample(QUANTILES, self.rng.randint(1, 3))))
        return '%s(%s)' % (name, inner)

    def label_function(self, depth):
        inner = self.vector(depth - 1)
        labels = sorted(set(self.focus.labels) | {'job', 'instance', 'none'})
        quoted = lambda: '"%s"' % self.one(labels)
        if self.chance(0.7):
            target = self.one((quoted(), '"new"', '"__name__"'))
            return 'label_replace(%s, %s, %s, %s, %s)' % (
                inner, target, self.one(('"$1"', '"x-$1-$2"', '"${1}y"', '"fixed"', '""', '"$name"')), quoted(),
                self.one(('"(.*)"', '"(.+)-(.*)"', '"([a-z]+).*"', '"nothing"', '"(?P<name>[^:]*).*"', '""', '"(.)(.*)"')))
        return 'label_join(%s, "%s", "%s"%s)' % (inner, self.one(('new', 'job', '__name__')), self.one(('-', '', ', ')),
                                              ''.join(', ' + quoted() for _ in range(self.rng.randint(0, 3))))

    def sort(self, depth, top=False):
        inner = self.vector(depth - 1)
        by_value = self.chance(0.5)
        if top:
            self.order = 'value' if by_value else 'labels'
        if by_value:
            return '%s(%s)' % (self.one(('sort', 'sort_desc')), inner)
        return '%s(%s%s)' % (self.one(('sort_by_label', 'sort_by_label_desc')), inner,
                             ''.join(', "%s"' % x for x in self.some(set(self.focus.labels) - {'le'}, 2) or ['job']))

    def absent(self, depth):
        if self.chance(0.5):
            return 'absent(%s)' % self.vector(depth - 1)
        return 'absent(%s{%s})' % (self.one(('none_such', 'up', '')), self.one(('job="x"', 'job="x", a="b", c=~"d"', 'job=~"x", job="y"', 'job="a", job="b"')))

    def info(self, depth):
        inner = self.vector(depth - 1) if self.chance(0.3) else self.selector(self.metric('native', 'bucket'))
        return 'info(%s%s)' % (inner, self.one(('', '', ', {version=~".+"}', ', {__name__="build_info"}', ', {zone="eu"}',
                                               ', {__name__=~".*_info", revision=~".*"}', ', {version="2"}')))
